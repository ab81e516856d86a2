//! The window that the body of a 403 takes. A connection's window has 65,535 bytes at first.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "a stream's window without room",
        "
        > SETTINGS window=14
        > HEADERS + es GET /no
        up SETTINGS window=14
        down HEADERS 1 es :status=403 content-length=0
        told deny 1 GET /no",
    ),
    (
        "a stream's window with room for no more",
        "
        > SETTINGS window=3 window=15
        > HEADERS + es GET /no
        up SETTINGS window=3 window=15
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        told deny 1 GET /no",
    ),
    (
        "what was borrowed is taken off the next update",
        "
        > HEADERS + es GET /no
        > WINDOW 0 100
        > WINDOW 0 100
        up WINDOW 0 85
        up WINDOW 0 100
        down ...
        told deny 1 GET /no",
    ),
    (
        "by and by",
        "
        > 2* HEADERS + es GET /no
        > WINDOW 0 10
        > WINDOW 0 15
        > WINDOW 0 10
        up WINDOW 0 5
        down ...
        told ...",
    ),
    (
        "exactly",
        "
        > HEADERS + es GET /no
        > WINDOW 0 15
        > WINDOW 0 1
        up WINDOW 0 1
        down ...
        told ...",
    ),
    (
        "gRPC and HEAD borrow nothing",
        "
        > HEADERS + es HEAD /no
        > HEADERS + es POST /no content-type=application/grpc
        > WINDOW 0 100
        up WINDOW 0 100
        down ...
        told ...",
    ),
    (
        "the largest updates there are",
        "
        > 5* WINDOW 0 2147483647
        > HEADERS + es GET /no
        > WINDOW 0 2147483647
        up 5* WINDOW 0 2147483647
        up WINDOW 0 2147483632
        down ...
        told ...",
    ),
    (
        "a frame is cut in two",
        "
        > HEADERS + es GET /a
        > HEADERS + es GET /no
        < HEADERS 1 :status=200
        < 3* DATA 1 16384
        < DATA 1 es 16383
        < PING
        > WINDOW 0 1000
        up HEADERS 1 es GET /a
        up WINDOW 0 985
        down HEADERS 3 :status=403 content-type=text/plain content-length=15
        down DATA 3 es denied
        down HEADERS 1 :status=200
        down 3* DATA 1 16384
        down DATA 1 16368
        down DATA 1 es 15
        down PING
        told allow 1 GET /a
        told deny 3 GET /no
        told answered 1 200",
    ),
    (
        "a frame is cut in three",
        "
        > HEADERS + es GET /a
        > HEADERS + es GET /no
        < HEADERS 1 :status=200
        < 3* DATA 1 16384
        < DATA 1 es 16383
        > WINDOW 0 7
        > WINDOW 0 9
        up HEADERS 1 es GET /a
        up WINDOW 0 1
        down HEADERS 3 :status=403 content-type=text/plain content-length=15
        down DATA 3 es denied
        down HEADERS 1 :status=200
        down 3* DATA 1 16384
        down DATA 1 16368
        down DATA 1 7
        down DATA 1 es 8
        told allow 1 GET /a
        told deny 3 GET /no
        told answered 1 200",
    ),
    (
        "a frame is held",
        "
        > HEADERS + es GET /a
        > HEADERS + es GET /no
        < HEADERS 1 :status=200
        < 3* DATA 1 16384
        < DATA 1 16368
        < DATA 1 es 15
        > WINDOW 1 100
        > WINDOW 0 15
        up HEADERS 1 es GET /a
        up WINDOW 1 100
        down HEADERS 3 :status=403 content-type=text/plain content-length=15
        down DATA 3 es denied
        down HEADERS 1 :status=200
        down 3* DATA 1 16384
        down DATA 1 16368
        down DATA 1 es 15
        told allow 1 GET /a
        told deny 3 GET /no
        told answered 1 200",
    ),
    (
        "a padded frame is held whole",
        "
        > HEADERS + es GET /a
        > HEADERS + es GET /no
        < HEADERS 1 :status=200
        < 3* DATA 1 16384
        < DATA 1 es pad=100 16282
        > WINDOW 0 15
        up HEADERS 1 es GET /a
        down HEADERS 3 :status=403 content-type=text/plain content-length=15
        down DATA 3 es denied
        down HEADERS 1 :status=200
        down 3* DATA 1 16384
        down DATA 1 es padded 16383
        told allow 1 GET /a
        told deny 3 GET /no
        told answered 1 200",
    ),
    (
        "an empty frame needs no window",
        "
        > HEADERS + es GET /a
        > HEADERS + es GET /no
        < HEADERS 1 :status=200
        < 3* DATA 1 16384
        < DATA 1 16368
        < DATA 1 es 0
        up ...
        down ...
        down DATA 1 16368
        down DATA 1 es 0
        told ...
        told answered 1 200",
    ),
    (
        "answers between the pieces",
        "
        > HEADERS + es GET /a
        > HEADERS + es GET /no
        < HEADERS 1 :status=200
        < 3* DATA 1 16384
        < DATA 1 es 16383
        > HEADERS + es GET /no
        > HEADERS + es HEAD /no
        > WINDOW 0 15
        up HEADERS 1 es GET /a
        down ...
        down DATA 1 16368
        down HEADERS 5 es :status=403 content-length=0
        down HEADERS 7 es :status=403 content-type=text/plain content-length=15
        down DATA 1 es 15
        told ...",
    ),
    (
        "the server oversteps, and nothing was borrowed",
        "
        > HEADERS + es GET /a
        < HEADERS 1 :status=200
        < 4* DATA 1 16384
        verbatim
        told ...",
    ),
];
