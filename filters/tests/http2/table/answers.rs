//! What the server sends, and what is recorded of it.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "a head alone",
        "
        > HEADERS + es GET /a
        < HEADERS 1 es :status=304
        verbatim
        told allow 1 GET /a
        told answered 1 304",
    ),
    (
        "heads before the final one",
        "
        > HEADERS + es GET /a
        < HEADERS 1 :status=100
        < HEADERS 1 :status=103 link=x
        < HEADERS 1 :status=200
        < DATA 1 es 1
        verbatim
        told allow 1 GET /a
        told answered 1 200",
    ),
    (
        "padding, priority, continuations",
        "
        > HEADERS + es GET /a
        < HEADERS 1 open pad=3 prio :status=200
        < CONTINUATION 1 open x-a=1
        < CONTINUATION 1 x-b=1
        < DATA 1 es pad=4 1
        verbatim
        told allow 1 GET /a
        told answered 1 200",
    ),
    (
        "gRPC status in trailers",
        "
        > HEADERS + es POST /S/M content-type=application/grpc
        < HEADERS 1 :status=200 content-type=application/grpc
        < DATA 1 5
        < HEADERS 1 es grpc-status=13
        verbatim
        told allow 1 POST /S/M
        told answering 1
        told answered 1 200 grpc 13",
    ),
    (
        "gRPC status in the head",
        "
        > HEADERS + es POST /S/M content-type=application/grpc
        < HEADERS 1 es :status=200 content-type=application/grpc grpc-status=12
        verbatim
        told allow 1 POST /S/M
        told answered 1 200 grpc 12",
    ),
    (
        "gRPC that is reset under way",
        "
        > HEADERS + es POST /S/M content-type=application/grpc
        < HEADERS 1 :status=200 content-type=application/grpc
        < RST 1 CANCEL
        verbatim
        told allow 1 POST /S/M
        told answering 1
        told reset 1",
    ),
    (
        "gRPC that ends without a status",
        "
        > HEADERS + es POST /S/M content-type=application/grpc
        < HEADERS 1 :status=200 content-type=application/grpc
        < DATA 1 es 5
        verbatim
        told allow 1 POST /S/M
        told answering 1
        told answered 1 200",
    ),
    (
        "an answer that is broken off is an answer",
        "
        > HEADERS + es GET /a
        < HEADERS 1 :status=200
        < RST 1 INTERNAL_ERROR
        verbatim
        told allow 1 GET /a
        told answered 1 200",
    ),
    (
        "an answer that the client breaks off",
        "
        > HEADERS + es GET /a
        < HEADERS 1 :status=200
        > RST 1 CANCEL
        verbatim
        told allow 1 GET /a
        told answered 1 200",
    ),
    (
        "a reset in place of an answer",
        "
        > HEADERS + es GET /a
        < RST 1 REFUSED_STREAM
        < RST 1 REFUSED_STREAM
        verbatim
        told allow 1 GET /a
        told reset 1",
    ),
    (
        "an answer before the body has ended",
        "
        > HEADERS + POST /a
        > DATA 1 3
        < HEADERS 1 es :status=413
        < RST 1 NO_ERROR
        > DATA 1 3
        > DATA 1 es 3
        verbatim
        told allow 1 POST /a
        told answered 1 413",
    ),
    (
        "an answer to nothing",
        "
        < HEADERS 1 :status=200
        < DATA 1 es 3
        verbatim",
    ),
    (
        "an answer to a denied request",
        "
        > HEADERS + POST /no
        < HEADERS 1 es :status=200
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        down HEADERS 1 es :status=200
        told deny 1 POST /no",
    ),
    (
        "an end without a head",
        "
        > HEADERS + es GET /a
        < DATA 1 es 3
        verbatim
        told allow 1 GET /a
        told answered 1 0",
    ),
    (
        "push",
        "
        > HEADERS + es GET /a
        < PUSH 1 GET /b
        up HEADERS 1 es GET /a
        told allow 1 GET /a
        told abort server push",
    ),
    (
        "a continuation of nothing",
        "
        < CONTINUATION 1 :status=200
        told abort malformed frame",
    ),
    (
        "a frame within a block",
        "
        > HEADERS + es GET /a
        < HEADERS 1 open :status=200
        < PING
        up HEADERS 1 es GET /a
        told allow 1 GET /a
        told abort malformed frame",
    ),
    (
        "a block of too many frames",
        "
        > HEADERS + es GET /a
        < HEADERS 1 open :status=200
        < 32* CONTINUATION 1 open
        up HEADERS 1 es GET /a
        told allow 1 GET /a
        told abort header block too large",
    ),
    (
        "a block that cannot be decoded",
        "
        < HEADERS 1 #99
        told abort HPACK: no entry has this index",
    ),
    (
        "a size update that is due is left out",
        "
        > SETTINGS table=0
        < SETTINGS ack
        > HEADERS + es GET /a
        < HEADERS 1 es :status=200
        up SETTINGS table=0
        up HEADERS 1 es GET /a
        down SETTINGS ack
        told allow 1 GET /a
        told abort HPACK: table size update missing",
    ),
    (
        "a size update that was asked for twice",
        "
        > SETTINGS table=0
        > SETTINGS table=100
        < SETTINGS ack
        < SETTINGS ack
        > HEADERS + es GET /a
        < HEADERS 1 es ~0 ~100 :status=200 +x-a=1
        > HEADERS + es GET /a
        < HEADERS 3 es :status=200 #62
        verbatim
        told ...
        told answered 3 200",
    ),
    (
        "SETTINGS of five bytes",
        "
        < FRAME 4 0 0 5
        told abort malformed frame",
    ),
    (
        "SETTINGS on a stream",
        "
        < FRAME 4 0 3 0
        told abort malformed frame",
    ),
    (
        "no SETTINGS at first",
        "
        raw
        > PREFACE
        > SETTINGS
        < PING
        up PREFACE
        told abort malformed frame",
    ),
    (
        "HTTP/1 in place of SETTINGS",
        "
        raw
        > PREFACE
        > SETTINGS
        < BYTES 485454502f312e31203430302042616420526571756573740d0a0d0a
        up PREFACE
        told abort malformed frame",
    ),
    (
        "an acknowledgement at first",
        "
        raw
        > PREFACE
        > SETTINGS
        < SETTINGS ack
        up PREFACE
        told abort malformed frame",
    ),
];
