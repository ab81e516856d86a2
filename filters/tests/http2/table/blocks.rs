//! Header blocks and their frames.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    ("padding", "
        > HEADERS + es pad=0 GET /a
        > HEADERS + es pad=255 GET /b
        verbatim
        told allow 1 GET /a
        told allow 3 GET /b"),
    ("priority", "
        > HEADERS + es prio GET /a
        > HEADERS + es pad=9 prio GET /b
        verbatim
        told allow 1 GET /a
        told allow 3 GET /b"),
    ("one continuation", "
        > HEADERS + open es prio GET /a
        > CONTINUATION 1 x-a=1
        verbatim
        told allow 1 GET /a"),
    ("the block begins in the continuation", "
        > HEADERS + open es
        > CONTINUATION 1 open
        > CONTINUATION 1 GET /no
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        told deny 1 GET /no"),
    ("as many frames as there may be", "
        > HEADERS + open es GET /a
        > 30* CONTINUATION 1 open x-a=1
        > CONTINUATION 1 x-b=1
        verbatim
        told allow 1 GET /a"),
    ("one frame too many", "
        > HEADERS + open es GET /a
        > 31* CONTINUATION 1 open x-a=1
        > CONTINUATION 1 x-b=1
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused header block too large
        told closed"),
    ("a flood of empty continuations", "
        > HEADERS + es GET /a
        > HEADERS + open es GET /a
        > 100* CONTINUATION 3 open
        up HEADERS 1 es GET /a
        down GOAWAY 1 ENHANCE_YOUR_CALM
        told allow 1 GET /a
        told refused header block too large
        told closed"),
    ("too many bytes, in one frame", "
        tight
        > FRAME 1 5 1 592
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused header block too large
        told closed"),
    ("too many bytes, in two", "
        tight
        > FRAME 1 1 1 300
        > FRAME 9 4 1 300
        down GOAWAY 0 ENHANCE_YOUR_CALM
        told refused header block too large
        told closed"),
    ("DATA within a block", "
        > HEADERS + open GET /a
        > DATA 1 5
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed"),
    ("PING within a block", "
        > HEADERS + open GET /a
        > PING
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed"),
    ("an unknown frame within a block", "
        > HEADERS + open GET /a
        > FRAME 170 0 1 4
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed"),
    ("HEADERS within a block", "
        > HEADERS 1 open GET /a
        > HEADERS 3 GET /a
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed"),
    ("a continuation of another stream", "
        > HEADERS 1 open GET /a
        > CONTINUATION 3 x-a=1
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed"),
    ("a continuation of nothing", "
        > HEADERS 1 es GET /a
        > CONTINUATION 1 x-a=1
        up HEADERS 1 es GET /a
        down GOAWAY 1 PROTOCOL_ERROR
        told allow 1 GET /a
        told refused unexpected frame
        told closed"),
    ("a continuation larger than frames may be", "
        > HEADERS 1 open GET /a
        > FRAME 9 4 1 16385
        down GOAWAY 0 FRAME_SIZE_ERROR
        told refused frame size
        told closed"),
    ("HEADERS larger than frames may be", "
        > FRAME 1 4 1 16385
        down GOAWAY 0 FRAME_SIZE_ERROR
        told refused frame size
        told closed"),
    ("padding that is all there is", "
        > BYTES 000003010d00000001020000
        > PING
        up PING
        down RST 1 PROTOCOL_ERROR
        told refused malformed pseudo-header field ( )"),
    ("more padding than payload", "
        > BYTES 000003010d00000001030000
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed"),
    ("padded, and empty", "
        > BYTES 000000010d00000001
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed"),
    ("a priority cut short", "
        > BYTES 000004012500000001 00000000
        down GOAWAY 0 FRAME_SIZE_ERROR
        told refused frame size
        told closed"),
    ("HEADERS on stream 0", "
        > HEADERS 0 es GET /a
        down GOAWAY 0 PROTOCOL_ERROR
        told refused unexpected frame
        told closed"),
    ("a block that cannot be decoded", "
        > HEADERS + es GET /a #70
        down GOAWAY 0 COMPRESSION_ERROR
        told refused HPACK: no entry has this index
        told closed"),
    ("a block that ends within a field", "
        > HEADERS + es GET /a raw=4005
        down GOAWAY 0 COMPRESSION_ERROR
        told refused HPACK: truncated block
        told closed"),
    ("a size update behind a field", "
        > HEADERS + es GET /a ~0
        down GOAWAY 0 COMPRESSION_ERROR
        told refused HPACK: misplaced table size update
        told closed"),
    ("a size update above the limit", "
        > HEADERS + es ~4097 GET /a
        down GOAWAY 0 COMPRESSION_ERROR
        told refused HPACK: table size update above the limit
        told closed"),
    ("the table is used across streams", "
        > HEADERS + es GET /a +x-a=1 +x-b=2
        > HEADERS + es GET /a #62 #63
        verbatim
        told allow 1 GET /a
        told allow 3 GET /a"),
    ("the path comes out of the table", "
        > HEADERS + es GET /a +:x=y
        > HEADERS + es +:path=/no +:authority=h #64 :scheme=http
        > HEADERS + es :method=GET :scheme=http #63 #62
        down RST 1 PROTOCOL_ERROR
        down RST 3 PROTOCOL_ERROR
        down HEADERS 5 :status=403 content-type=text/plain content-length=15
        down DATA 5 es denied
        told refused malformed pseudo-header field (GET /a)
        told ...
        told deny 5 GET /no"),
    ("a list that is too large", "
        tight
        > HEADERS + es GET /a +x-a=0123456789012345678901234567890123456789012345678901234567890123456789
        > HEADERS + es GET /a #62 #62 #62
        > HEADERS + es GET /b #62
        up HEADERS 1 es GET /a x-a=0123456789012345678901234567890123456789012345678901234567890123456789
        up HEADERS 5 es ~ GET /b x-a=0123456789012345678901234567890123456789012345678901234567890123456789
        down HEADERS 3 es :status=431 content-length=0
        told allow 1 GET /a
        told refused header list too large (GET /a)
        told allow 5 GET /b"),
    ("too many fields", "
        tight
        > HEADERS + es GET /a a=1 b=2 c=3 d=4
        > HEADERS + es GET /a a= b= c= d= e=
        up HEADERS 1 es GET /a a=1 b=2 c=3 d=4
        down HEADERS 3 es :status=431 content-length=0
        told allow 1 GET /a
        told refused too many headers (GET /a)"),
    ("a bomb", "
        > HEADERS + es GET /a +x-a=0123456789012345678901234567890123456789012345678901234567890123456789
        > HEADERS + es GET /a raw=bebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebe

        up ...
        down HEADERS 3 es :status=431 content-length=0
        told allow 1 GET /a
        told refused too many headers (GET /a)"),
];
