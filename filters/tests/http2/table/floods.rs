//! What costs more than it pays: three at once, and ten a second.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "SETTINGS",
        "
        tight
        > 3* SETTINGS
        up 2* SETTINGS
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused too many SETTINGS
        told closed",
    ),
    (
        "SETTINGS at their rate",
        "
        tight
        > 2* SETTINGS
        tick 100
        > SETTINGS
        verbatim",
    ),
    (
        "SETTINGS that are never acknowledged",
        "
        > 65* SETTINGS
        up 64* SETTINGS
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused too many SETTINGS
        told closed",
    ),
    (
        "acknowledgements of nothing",
        "
        tight
        > 4* SETTINGS ack
        up 3* SETTINGS ack
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused too many frames without content
        told closed",
    ),
    (
        "PING",
        "
        tight
        > 4* PING
        up 3* PING
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused too many PINGs
        told closed",
    ),
    (
        "PING beside DATA",
        "
        tight
        > HEADERS + POST /a
        > 2* PING
        > DATA 1 5
        > 2* PING
        < HEADERS 1 :status=200
        < DATA 1 2
        > PING
        verbatim
        told ...",
    ),
    (
        "answers to PINGs that nobody sent",
        "
        tight
        > 4* PING ack
        up 3* PING ack
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused too many PINGs
        told closed",
    ),
    (
        "answers to PINGs",
        "
        tight
        > 3* PING
        < 2* PING
        > 2* PING ack
        verbatim",
    ),
    (
        "resets",
        "
        tight
        > HEADERS 1 es GET /a
        > RST 1 CANCEL
        > HEADERS 3 es GET /a
        > RST 3 CANCEL
        > HEADERS 5 es GET /a
        > RST 5 CANCEL
        > HEADERS 7 es GET /a
        > RST 7 CANCEL
        up ...
        up HEADERS 7 es GET /a
        down GOAWAY 7 ENHANCE_YOUR_CALM
        told ...
        told refused too many resets
        told closed",
    ),
    (
        "resets that weir is made to send",
        "
        tight
        > HEADERS 1 es GET /a
        > DATA 1 1
        > HEADERS 3 POST /a content-length=0
        > DATA 3 1
        > HEADERS 5 POST /a
        > HEADERS 5 es :path=/
        > HEADERS 7 es GET /a
        > DATA 7 1
        up ...
        up HEADERS 7 es ~ GET /a
        down ...
        down GOAWAY 7 ENHANCE_YOUR_CALM
        told ...
        told refused too many resets
        told closed",
    ),
    (
        "resets of answers",
        "
        tight
        > HEADERS 1 POST /a
        < HEADERS 1 es :status=200
        > RST 1 NO_ERROR
        > HEADERS 3 POST /a
        < HEADERS 3 es :status=200
        > RST 3 NO_ERROR
        > HEADERS 5 POST /a
        < HEADERS 5 es :status=200
        > RST 5 NO_ERROR
        > HEADERS 7 POST /a
        < HEADERS 7 es :status=200
        > RST 7 NO_ERROR
        verbatim
        told ...",
    ),
    (
        "WINDOW_UPDATE",
        "
        tight
        > 4* WINDOW 0 1
        up 3* WINDOW 0 1
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused too many WINDOW_UPDATEs
        told closed",
    ),
    (
        "WINDOW_UPDATE for DATA",
        "
        tight
        > HEADERS + es GET /a
        > 3* WINDOW 1 1
        < HEADERS 1 :status=200
        < DATA 1 5
        > WINDOW 0 5
        > WINDOW 1 5
        verbatim
        told ...",
    ),
    (
        "empty DATA",
        "
        tight
        > HEADERS + POST /a
        > 4* DATA 1 0
        up HEADERS 1 POST /a
        up 3* DATA 1 0
        down GOAWAY 1 ENHANCE_YOUR_CALM
        told allow 1 POST /a
        told refused too many frames without content
        told closed",
    ),
    (
        "DATA of padding",
        "
        tight
        > HEADERS + POST /a
        > 4* DATA 1 pad=9 0
        up HEADERS 1 POST /a
        up 3* DATA 1 padded 10
        down GOAWAY 1 ENHANCE_YOUR_CALM
        told allow 1 POST /a
        told refused too many frames without content
        told closed",
    ),
    (
        "PRIORITY",
        "
        tight
        > 4* PRIORITY 9
        up 3* PRIORITY 9
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused too many frames without content
        told closed",
    ),
    (
        "unknown frames",
        "
        tight
        > 4* FRAME 99 0 0 5
        up 3* FRAME 99 0 0 5
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused too many frames without content
        told closed",
    ),
    (
        "GOAWAY",
        "
        tight
        > 4* GOAWAY 0 NO_ERROR
        up 3* GOAWAY 0 NO_ERROR
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused too many frames without content
        told closed",
    ),
    (
        "a request gives four back",
        "
        tight
        > 3* PRIORITY 9
        > HEADERS 1 es GET /a
        > 3* PRIORITY 9
        verbatim
        told allow 1 GET /a",
    ),
    (
        "trailers without end on a denied stream",
        "
        tight
        > HEADERS + POST /no
        > 4* HEADERS 1 x-a=1
        down ...
        down GOAWAY 1 ENHANCE_YOUR_CALM
        told deny 1 POST /no
        told refused too many frames without content
        told closed",
    ),
    (
        "frames on streams that are over",
        "
        tight
        > HEADERS + es GET /no
        > 4* RST 1 CANCEL
        down ...
        down GOAWAY 1 ENHANCE_YOUR_CALM
        told deny 1 GET /no
        told refused too many frames without content
        told closed",
    ),
    (
        "DATA on streams that are over",
        "
        tight
        > HEADERS + es GET /no
        > 4* DATA 1 1
        down ...
        down 3* RST 1 STREAM_CLOSED
        down GOAWAY 1 ENHANCE_YOUR_CALM
        down WINDOW 0 3
        told deny 1 GET /no
        told refused too many frames without content
        told closed",
    ),
    (
        "streams",
        "
        tight
        > HEADERS + es GET /a
        > HEADERS + POST /a
        > HEADERS + es GET /a
        > HEADERS + es GET /a
        > HEADERS + es GET /no
        < HEADERS 1 es :status=200
        > HEADERS + es GET /a
        up HEADERS 1 es GET /a
        up HEADERS 3 POST /a
        up HEADERS 5 es GET /a
        up HEADERS 11 es ~ GET /a
        down RST 7 REFUSED_STREAM
        down RST 9 REFUSED_STREAM
        down HEADERS 1 es :status=200
        told ...
        told refused too many streams (GET /a)
        told refused too many streams (GET /no)
        told answered 1 200
        told allow 11 GET /a",
    ),
    (
        "denied requests are no streams in progress",
        "
        tight
        > 9* HEADERS + POST /no
        > HEADERS + es GET /a
        up HEADERS 19 es ~ GET /a
        down ...
        told ...
        told allow 19 GET /a",
    ),
];
