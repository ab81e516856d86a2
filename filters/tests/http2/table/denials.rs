//! Requests that no rule allows.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "GET",
        "
        > HEADERS + es GET /no
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        told deny 1 GET /no",
    ),
    (
        "HEAD",
        "
        > HEADERS + es HEAD /no
        down HEADERS 1 es :status=403 content-type=text/plain content-length=15
        told deny 1 HEAD /no",
    ),
    (
        "POST whose body is still coming",
        "
        > HEADERS + POST /no content-length=10
        > DATA 1 4
        > DATA 1 pad=5 2
        > DATA 1 es 4
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        down WINDOW 1 4
        down WINDOW 0 4
        down WINDOW 1 8
        down WINDOW 0 8
        down WINDOW 0 4
        told deny 1 POST /no",
    ),
    (
        "a body that is too long or too short is nobody's concern",
        "
        > HEADERS + POST /no content-length=1
        > DATA 1 10
        > DATA 1 es 0
        > HEADERS + POST /no content-length=9
        > DATA 3 es 1
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        down WINDOW 1 10
        down WINDOW 0 10
        down HEADERS 3 :status=403 content-type=text/plain content-length=15
        down DATA 3 es denied
        down WINDOW 0 1
        told deny 1 POST /no
        told deny 3 POST /no",
    ),
    (
        "a body without end",
        "
        tight
        > HEADERS + POST /no
        > DATA 1 10
        > DATA 1 10
        > DATA 1 10
        > DATA 1 10
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        down WINDOW 1 10
        down WINDOW 0 10
        down WINDOW 1 10
        down WINDOW 0 10
        down RST 1 NO_ERROR
        down WINDOW 0 10
        down WINDOW 0 10
        told deny 1 POST /no",
    ),
    (
        "trailers are dropped and decoded",
        "
        > HEADERS + POST /no
        > HEADERS 1 es +x-t=1
        > HEADERS + es GET /a #62
        up HEADERS 3 es ~ GET /a x-t=1
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        told deny 1 POST /no
        told allow 3 GET /a",
    ),
    (
        "gRPC",
        "
        > HEADERS + POST /no/Method content-type=application/grpc te=trailers
        > DATA 1 es 5
        down HEADERS 1 es :status=200 content-type=application/grpc grpc-status=7 grpc-message=Access\\sdenied%0D%0A
        down RST 1 NO_ERROR
        down WINDOW 0 5
        told deny 1 POST /no/Method",
    ),
    (
        "gRPC with a codec",
        "
        > HEADERS + es POST /no/Method content-type=application/grpc+proto
        down HEADERS 1 es :status=200 content-type=application/grpc grpc-status=7 grpc-message=Access\\sdenied%0D%0A
        told deny 1 POST /no/Method",
    ),
    (
        "what a client says about a denied stream stays here",
        "
        > HEADERS + POST /no
        > WINDOW 1 100
        > PRIORITY 1
        > RST 1 CANCEL
        > PRIORITY 1
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        told deny 1 POST /no",
    ),
    (
        "an extended CONNECT",
        "
        > HEADERS + :method=CONNECT :protocol=websocket :scheme=http :path=/no :authority=h
        > DATA 1 7
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        down RST 1 NO_ERROR
        down WINDOW 0 7
        told deny 1 CONNECT /no",
    ),
    (
        "a tunnel",
        "
        > HEADERS + :method=CONNECT :authority=no:443
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        down RST 1 NO_ERROR
        told deny 1 CONNECT no:443",
    ),
    (
        "streams around it go on",
        "
        > HEADERS + POST /a content-length=6
        > HEADERS + POST /no
        > DATA 1 3
        > DATA 3 3
        < HEADERS 1 :status=200
        > DATA 1 es 3
        > DATA 3 es 3
        > HEADERS + es GET /b
        < DATA 1 es 3
        < HEADERS 5 es :status=204
        up HEADERS 1 POST /a content-length=6
        up DATA 1 3
        up DATA 1 es 3
        up HEADERS 5 es ~ GET /b
        down HEADERS 3 :status=403 content-type=text/plain content-length=15
        down DATA 3 es denied
        down WINDOW 3 3
        down WINDOW 0 3
        down HEADERS 1 :status=200
        down WINDOW 0 3
        down DATA 1 es 3
        down HEADERS 5 es :status=204
        told allow 1 POST /a
        told deny 3 POST /no
        told answered 1 200
        told allow 5 GET /b
        told answered 5 204",
    ),
    (
        "the answer waits for the server's first SETTINGS",
        "
        raw
        > PREFACE
        > SETTINGS
        > HEADERS + es GET /no
        < SETTINGS streams=9
        up PREFACE
        up SETTINGS
        down SETTINGS streams=9
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        told deny 1 GET /no",
    ),
    (
        "DATA behind the end",
        "
        > HEADERS + es GET /no
        > DATA 1 5
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        down RST 1 STREAM_CLOSED
        down WINDOW 0 5
        told deny 1 GET /no",
    ),
    (
        "many",
        "
        > 300* HEADERS + POST /no
        > HEADERS + es GET /a
        up HEADERS 601 es ~ GET /a
        down ...
        told ...
        told allow 601 GET /a",
    ),
];
