//! GOAWAY.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "no more requests",
        "
        > HEADERS + es GET /a
        leave
        > HEADERS + es GET /b
        < HEADERS 1 es :status=200
        up HEADERS 1 es GET /a
        down GOAWAY 1 NO_ERROR
        down RST 3 REFUSED_STREAM
        down HEADERS 1 es :status=200
        told allow 1 GET /a
        told refused too many streams (GET /b)
        told answered 1 200",
    ),
    (
        "bodies go on",
        "
        > HEADERS + POST /a
        leave
        leave
        > DATA 1 5
        > HEADERS 1 es x-a=1
        up HEADERS 1 POST /a
        up DATA 1 5
        up HEADERS 1 es x-a=1
        down GOAWAY 1 NO_ERROR
        told allow 1 POST /a",
    ),
    (
        "before the server has spoken",
        "
        raw
        > PREFACE
        > SETTINGS
        leave
        < SETTINGS
        up PREFACE
        up SETTINGS
        down SETTINGS
        down GOAWAY 0 NO_ERROR",
    ),
    (
        "within a frame of the server's",
        "
        > HEADERS + es GET /a
        < HEADERS 1 :status=200
        < BYTES 000005000000000001 7878
        leave
        < BYTES 787878
        < PING
        up HEADERS 1 es GET /a
        down HEADERS 1 :status=200
        down DATA 1 5
        down GOAWAY 1 NO_ERROR
        down PING
        told ...",
    ),
    (
        "the last stream never rises: an error behind it",
        "
        > HEADERS + es GET /a
        leave
        > HEADERS + es GET /b
        > DATA 0 5
        up HEADERS 1 es GET /a
        down GOAWAY 1 NO_ERROR
        down RST 3 REFUSED_STREAM
        down GOAWAY 1 PROTOCOL_ERROR
        told ...
        told closed",
    ),
    (
        "the last stream never rises: the server's behind weir's",
        "
        > HEADERS + es GET /a
        leave
        < GOAWAY 2147483647 NO_ERROR
        < GOAWAY 1 NO_ERROR
        < GOAWAY 0 INTERNAL_ERROR
        up HEADERS 1 es GET /a
        down GOAWAY 1 NO_ERROR
        down GOAWAY 1 NO_ERROR
        down GOAWAY 1 NO_ERROR
        down GOAWAY 0 INTERNAL_ERROR
        told allow 1 GET /a",
    ),
    (
        "the last stream never rises: weir's behind the server's",
        "
        > HEADERS + es GET /a
        > HEADERS + es GET /b
        < GOAWAY 2147483647 NO_ERROR
        < GOAWAY 1 NO_ERROR
        leave
        up HEADERS 1 es GET /a
        up HEADERS 3 es GET /b
        down GOAWAY 2147483647 NO_ERROR
        down GOAWAY 1 NO_ERROR
        down GOAWAY 1 NO_ERROR
        told ...",
    ),
    (
        "the server's GOAWAY with words, and one too short",
        "
        < FRAME 7 0 0 30
        < FRAME 7 0 0 3
        verbatim",
    ),
];
