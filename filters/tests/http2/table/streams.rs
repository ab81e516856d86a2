//! Which frame may be on which stream, and how long a frame may be.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "an even stream",
        "
        > HEADERS 2 es GET /a
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed",
    ),
    (
        "a stream twice",
        "
        > HEADERS 1 es GET /a
        > HEADERS 1 es GET /a
        up HEADERS 1 es GET /a
        down GOAWAY 1 STREAM_CLOSED
        told allow 1 GET /a
        told refused frame on a closed stream
        told closed",
    ),
    (
        "a stream again, behind its answer",
        "
        > HEADERS 1 es GET /a
        < HEADERS 1 es :status=200
        > HEADERS 1 es GET /no
        up HEADERS 1 es GET /a
        down HEADERS 1 es :status=200
        down GOAWAY 1 STREAM_CLOSED
        told allow 1 GET /a
        told answered 1 200
        told refused frame on a closed stream
        told closed",
    ),
    (
        "a second request on an open stream",
        "
        > HEADERS 1 POST /a
        > HEADERS 1 es GET /no
        up HEADERS 1 POST /a
        up RST 1 PROTOCOL_ERROR
        down RST 1 PROTOCOL_ERROR
        told allow 1 POST /a
        told refused malformed trailer
        told reset 1",
    ),
    (
        "a second request on a denied stream",
        "
        > HEADERS 1 POST /no
        > HEADERS 1 es GET /a
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        told deny 1 POST /no",
    ),
    (
        "a lower stream that was left out",
        "
        > HEADERS 5 es GET /a
        > HEADERS 3 es GET /a
        up HEADERS 5 es GET /a
        down GOAWAY 5 PROTOCOL_ERROR
        told allow 5 GET /a
        told refused unexpected frame
        told closed",
    ),
    (
        "a lower stream that was denied",
        "
        > HEADERS 1 es GET /no
        > HEADERS 3 es GET /a
        > HEADERS 1 es GET /a
        up HEADERS 3 es ~ GET /a
        down ...
        down GOAWAY 3 STREAM_CLOSED
        told ...
        told refused frame on a closed stream
        told closed",
    ),
    (
        "DATA on stream 0",
        "
        > DATA 0 5
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed",
    ),
    (
        "DATA on an idle stream",
        "
        > DATA 1 5
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed",
    ),
    (
        "DATA behind the end",
        "
        > HEADERS + es GET /a
        > DATA 1 es 5
        > HEADERS + es GET /b
        up HEADERS 1 es GET /a
        up RST 1 PROTOCOL_ERROR
        up HEADERS 3 es GET /b
        down RST 1 STREAM_CLOSED
        down WINDOW 0 5
        told allow 1 GET /a
        told refused frame on a closed stream
        told reset 1
        told allow 3 GET /b",
    ),
    (
        "DATA behind the end and the answer",
        "
        > HEADERS + es GET /a
        < HEADERS 1 es :status=200
        > DATA 1 5
        up HEADERS 1 es GET /a
        down HEADERS 1 es :status=200
        down RST 1 STREAM_CLOSED
        down WINDOW 0 5
        told allow 1 GET /a
        told answered 1 200",
    ),
    (
        "DATA on a stream that was left out",
        "
        > HEADERS 5 es GET /a
        > DATA 3 5
        up HEADERS 5 es GET /a
        down RST 3 STREAM_CLOSED
        down WINDOW 0 5
        told allow 5 GET /a",
    ),
    (
        "frames behind the client's reset",
        "
        > HEADERS + POST /a
        > RST 1 CANCEL
        > RST 1 CANCEL
        > WINDOW 1 5
        > PRIORITY 1
        > DATA 1 5
        up HEADERS 1 POST /a
        up RST 1 CANCEL
        down RST 1 STREAM_CLOSED
        down WINDOW 0 5
        told allow 1 POST /a
        told reset 1",
    ),
    (
        "trailers behind the client's reset",
        "
        > HEADERS + POST /a
        > RST 1 CANCEL
        > HEADERS 1 es x-a=1
        up HEADERS 1 POST /a
        up RST 1 CANCEL
        down GOAWAY 1 STREAM_CLOSED
        told allow 1 POST /a
        told reset 1
        told refused frame on a closed stream
        told closed",
    ),
    (
        "what is under way behind weir's reset",
        "
        > HEADERS + POST /a content-length=5
        > DATA 1 6
        > DATA 1 7
        > HEADERS 1 es +x-a=1
        > HEADERS + es GET /b #62
        up HEADERS 1 POST /a content-length=5
        up RST 1 PROTOCOL_ERROR
        up HEADERS 3 es ~ GET /b x-a=1
        down RST 1 PROTOCOL_ERROR
        down WINDOW 0 6
        down WINDOW 0 7
        told allow 1 POST /a
        told refused malformed or wrong Content-Length
        told reset 1
        told allow 3 GET /b",
    ),
    (
        "less than Content-Length",
        "
        > HEADERS + POST /a content-length=5
        > DATA 1 2
        > DATA 1 es 2
        up HEADERS 1 POST /a content-length=5
        up DATA 1 2
        up RST 1 PROTOCOL_ERROR
        down RST 1 PROTOCOL_ERROR
        down WINDOW 0 2
        told allow 1 POST /a
        told refused malformed or wrong Content-Length
        told reset 1",
    ),
    (
        "less than Content-Length, and trailers",
        "
        > HEADERS + POST /a content-length=5
        > DATA 1 2
        > HEADERS 1 es x-a=1
        up HEADERS 1 POST /a content-length=5
        up DATA 1 2
        up RST 1 PROTOCOL_ERROR
        down RST 1 PROTOCOL_ERROR
        told allow 1 POST /a
        told refused malformed or wrong Content-Length
        told reset 1",
    ),
    (
        "padding does not count",
        "
        > HEADERS + POST /a content-length=5
        > DATA 1 es pad=1 3
        up HEADERS 1 POST /a content-length=5
        up RST 1 PROTOCOL_ERROR
        down RST 1 PROTOCOL_ERROR
        down WINDOW 0 5
        told allow 1 POST /a
        told refused malformed or wrong Content-Length
        told reset 1",
    ),
    (
        "trailers that do not end the stream",
        "
        > HEADERS + POST /a
        > HEADERS 1 x-a=1
        up HEADERS 1 POST /a
        up RST 1 PROTOCOL_ERROR
        down RST 1 PROTOCOL_ERROR
        told allow 1 POST /a
        told refused malformed trailer
        told reset 1",
    ),
    (
        "trailers with a framing field",
        "
        > HEADERS + POST /a
        > HEADERS 1 es content-length=1
        up HEADERS 1 POST /a
        up RST 1 PROTOCOL_ERROR
        down RST 1 PROTOCOL_ERROR
        told allow 1 POST /a
        told refused malformed trailer
        told reset 1",
    ),
    (
        "trailers in capitals",
        "
        > HEADERS + POST /a
        > HEADERS 1 es X-A=1
        up HEADERS 1 POST /a
        up RST 1 PROTOCOL_ERROR
        down RST 1 PROTOCOL_ERROR
        told allow 1 POST /a
        told refused malformed trailer
        told reset 1",
    ),
    (
        "RST on an idle stream",
        "
        > RST 1 CANCEL
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed",
    ),
    (
        "RST on stream 0",
        "
        > RST 0 CANCEL
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed",
    ),
    (
        "WINDOW_UPDATE on an idle stream",
        "
        > WINDOW 1 5
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed",
    ),
    (
        "WINDOW_UPDATE of nothing is the server's to refuse",
        "
        > WINDOW 0 0
        verbatim",
    ),
    (
        "SETTINGS on a stream",
        "
        > FRAME 4 0 1 0
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed",
    ),
    (
        "SETTINGS of seven bytes",
        "
        > FRAME 4 0 0 7
        down GOAWAY 0 FRAME_SIZE_ERROR
        told refused frame size
        told closed",
    ),
    (
        "an acknowledgement with settings",
        "
        > FRAME 4 1 0 6
        down GOAWAY 0 FRAME_SIZE_ERROR
        told refused frame size
        told closed",
    ),
    (
        "SETTINGS larger than can be held",
        "
        < SETTINGS frame=16777215
        > FRAME 4 0 0 16386
        down SETTINGS frame=16777215
        down GOAWAY 0 FRAME_SIZE_ERROR
        told refused frame size
        told closed",
    ),
    (
        "PING of nine bytes",
        "
        > FRAME 6 0 0 9
        down GOAWAY 0 FRAME_SIZE_ERROR
        told refused frame size
        told closed",
    ),
    (
        "PING on a stream",
        "
        > FRAME 6 0 1 8
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed",
    ),
    (
        "PRIORITY of four bytes",
        "
        > FRAME 2 0 1 4
        down GOAWAY 0 FRAME_SIZE_ERROR
        told refused frame size
        told closed",
    ),
    (
        "PRIORITY on stream 0",
        "
        > FRAME 2 0 0 5
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed",
    ),
    (
        "RST of three bytes",
        "
        > HEADERS + GET /a
        > FRAME 3 0 1 3
        up HEADERS 1 GET /a
        down GOAWAY 1 FRAME_SIZE_ERROR
        told allow 1 GET /a
        told refused frame size
        told closed",
    ),
    (
        "WINDOW_UPDATE of five bytes",
        "
        > FRAME 8 0 0 5
        down GOAWAY 0 FRAME_SIZE_ERROR
        told refused frame size
        told closed",
    ),
    (
        "GOAWAY of seven bytes",
        "
        > FRAME 7 0 0 7
        down GOAWAY 0 FRAME_SIZE_ERROR
        told refused frame size
        told closed",
    ),
    (
        "GOAWAY on a stream",
        "
        > FRAME 7 0 1 8
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed",
    ),
    (
        "a client that pushes",
        "
        > HEADERS + GET /a
        > PUSH 1 GET /b
        up HEADERS 1 GET /a
        down GOAWAY 1 PROTOCOL_ERROR
        told allow 1 GET /a
        told refused unexpected frame
        told closed",
    ),
    (
        "DATA larger than frames may be",
        "
        > HEADERS + POST /a
        > DATA 1 16385
        up HEADERS 1 POST /a
        down GOAWAY 1 FRAME_SIZE_ERROR
        told allow 1 POST /a
        told refused frame size
        told closed",
    ),
    (
        "DATA as large as the server takes",
        "
        < SETTINGS frame=20000
        > HEADERS + POST /a
        > DATA 1 20000
        verbatim
        told allow 1 POST /a",
    ),
    (
        "DATA with more padding than payload",
        "
        > HEADERS + POST /a
        > BYTES 000002000800000001 0200
        up HEADERS 1 POST /a
        down GOAWAY 1 PROTOCOL_ERROR
        told allow 1 POST /a
        told refused unexpected frame
        told closed",
    ),
    (
        "DATA, padded and empty",
        "
        > HEADERS + POST /a
        > BYTES 000000000800000001
        up HEADERS 1 POST /a
        down GOAWAY 1 PROTOCOL_ERROR
        told allow 1 POST /a
        told refused unexpected frame
        told closed",
    ),
    (
        "no SETTINGS behind the preface",
        "
        raw
        > PREFACE
        > PING
        < SETTINGS
        up PREFACE
        down SETTINGS
        down GOAWAY 0 PROTOCOL_ERROR
        told refused malformed connection preface
        told closed",
    ),
    (
        "an acknowledgement behind the preface",
        "
        raw
        < SETTINGS
        > PREFACE
        > SETTINGS ack
        up PREFACE
        down SETTINGS
        down GOAWAY 0 PROTOCOL_ERROR
        told refused malformed connection preface
        told closed",
    ),
    (
        "another preface",
        "
        raw
        < SETTINGS
        > BYTES 505249202a20485454502f322e310d0a0d0a534d0d0a0d0a
        down SETTINGS
        down GOAWAY 0 PROTOCOL_ERROR
        told refused malformed connection preface
        told closed",
    ),
    (
        "the preface twice",
        "
        > PREFACE
        down GOAWAY 0 FRAME_SIZE_ERROR
        told refused frame size
        told closed",
    ),
];
