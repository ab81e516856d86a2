//! Header blocks behind one that the upstream has not seen.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    ("the table's entries are written out", "
        > HEADERS + es GET /a +x-a=1
        > HEADERS + es GET /no #62
        > HEADERS + es GET /b #62 !x-secret=2
        > HEADERS + es GET /c #62
        up HEADERS 1 es GET /a x-a=1
        up HEADERS 5 es ~ GET /b x-a=1 !x-secret=2
        up HEADERS 7 es GET /c x-a=1
        down HEADERS 3 :status=403 content-type=text/plain content-length=15
        down DATA 3 es denied
        told allow 1 GET /a
        told deny 3 GET /no
        told allow 5 GET /b
        told allow 7 GET /c"),
    ("entries of the denied one", "
        > HEADERS + es GET /no +x-a=1
        > HEADERS + es GET /b #62
        up HEADERS 3 es ~ GET /b x-a=1
        down ...
        told deny 1 GET /no
        told allow 3 GET /b"),
    ("entries of a malformed one", "
        > HEADERS + es +x-a=1
        > HEADERS + es GET /b #62
        up HEADERS 3 es ~ GET /b x-a=1
        down RST 1 PROTOCOL_ERROR
        told refused malformed pseudo-header field ( )
        told allow 3 GET /b"),
    ("entries of malformed trailers", "
        > HEADERS + POST /a
        > HEADERS 1 es +x-a=1 :status=2
        > HEADERS + es GET /b #62
        up HEADERS 1 POST /a
        up RST 1 PROTOCOL_ERROR
        up HEADERS 3 es ~ GET /b x-a=1
        down RST 1 PROTOCOL_ERROR
        told allow 1 POST /a
        told refused malformed trailer
        told reset 1
        told allow 3 GET /b"),
    ("a never-indexed static field", "
        > HEADERS + es GET /no
        > HEADERS + es GET /b !accept-encoding=gzip,\\sdeflate !authorization=x
        up HEADERS 3 es ~ GET /b !accept-encoding=gzip,\\sdeflate !authorization=x
        down ...
        told deny 1 GET /no
        told allow 3 GET /b"),
    ("padding, priority and continuations are left out", "
        > HEADERS + es GET /no
        > HEADERS + open es pad=9 prio GET /b
        > CONTINUATION 3 x-a=1
        up HEADERS 3 es ~ GET /b x-a=1
        down ...
        told deny 1 GET /no
        told allow 3 GET /b"),
    ("trailers, too", "
        > HEADERS + POST /a +x-t=1
        > HEADERS + es GET /no
        > HEADERS 1 es #62
        up HEADERS 1 POST /a x-t=1
        up HEADERS 1 es ~ x-t=1
        down ...
        told allow 1 POST /a
        told deny 3 GET /no"),
    ("a denial's block had the size update that was due", "
        < SETTINGS table=0
        > SETTINGS ack
        > HEADERS + es ~0 GET /no
        > HEADERS + es GET /b
        up SETTINGS ack
        up HEADERS 3 es ~ GET /b
        down SETTINGS table=0
        down HEADERS 1 :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        told deny 1 GET /no
        told allow 3 GET /b"),
    ("the table is lowered before a denial", "
        < SETTINGS table=100
        > SETTINGS ack
        > HEADERS + es ~100 GET /a +x-a=1
        > HEADERS + es GET /no
        > HEADERS + es GET /b #62
        up SETTINGS ack
        up HEADERS 1 es ~ GET /a x-a=1
        up HEADERS 5 es ~ GET /b x-a=1
        down SETTINGS table=100
        down ...
        told allow 1 GET /a
        told deny 3 GET /no
        told allow 5 GET /b"),
    ("the table is lowered behind a denial", "
        > HEADERS + es GET /no
        > HEADERS + es GET /a +x-a=1
        < SETTINGS table=100
        > HEADERS + es GET /b #62
        > SETTINGS ack
        > HEADERS + es ~100 GET /c #62
        > HEADERS + es GET /d #62
        up HEADERS 3 es ~ GET /a x-a=1
        up HEADERS 5 es GET /b x-a=1
        up SETTINGS ack
        up HEADERS 7 es ~ GET /c x-a=1
        up HEADERS 9 es GET /d x-a=1
        down ...
        told ..."),
    ("lowered and raised at once", "
        < SETTINGS table=0
        < SETTINGS table=4096
        > 2* SETTINGS ack
        > HEADERS + es ~0 ~4096 GET /no +x-a=1
        > HEADERS + es GET /a #62
        up 2* SETTINGS ack
        up HEADERS 3 es ~ GET /a x-a=1
        down ...
        told ..."),
    ("raised, and used before and behind a denial", "
        < SETTINGS table=9000
        > SETTINGS ack
        > HEADERS + es ~9000 GET /a +x-a=1
        > HEADERS + es GET /no
        > HEADERS + es ~8000 GET /b #62
        up SETTINGS ack
        up HEADERS 1 es ~ GET /a x-a=1
        up HEADERS 5 es ~ GET /b x-a=1
        down ...
        told ..."),
    ("used before it was acknowledged", "
        < SETTINGS table=9000
        > HEADERS + es ~9000 GET /a
        down SETTINGS table=9000
        down GOAWAY 0 COMPRESSION_ERROR
        told refused HPACK: table size update above the limit
        told closed"),
    ("a size update that is due is left out", "
        < SETTINGS table=0
        > SETTINGS ack
        > HEADERS + es GET /a
        up SETTINGS ack
        down SETTINGS table=0
        down GOAWAY 0 COMPRESSION_ERROR
        told refused HPACK: table size update missing
        told closed"),
    ("raised beyond what is held", "
        < SETTINGS table=1000000
        > SETTINGS ack
        > HEADERS + es ~65536 GET /a
        > HEADERS + es ~65537 GET /a
        up SETTINGS ack
        up HEADERS 1 es ~ GET /a
        down SETTINGS table=65536
        down GOAWAY 1 COMPRESSION_ERROR
        told allow 1 GET /a
        told refused HPACK: table size update above the limit
        told closed"),
    ("the answer has the size update that the client waits for", "
        > SETTINGS table=0
        < SETTINGS ack
        > HEADERS + es GET /no
        > HEADERS + es GET /no
        > HEADERS + es GET /a
        < HEADERS 5 es ~0 :status=200
        up SETTINGS table=0
        up HEADERS 5 es ~ GET /a
        down SETTINGS ack
        down HEADERS 1 ~ :status=403 content-type=text/plain content-length=15
        down DATA 1 es denied
        down HEADERS 3 :status=403 content-type=text/plain content-length=15
        down DATA 3 es denied
        down HEADERS 5 es ~ :status=200
        told ...
        told answered 5 200"),
    ("a reset needs no size update", "
        > SETTINGS table=0
        < SETTINGS ack
        > HEADERS + es x-a=1
        > HEADERS + es GET /a
        < HEADERS 3 es ~0 :status=200
        up SETTINGS table=0
        up HEADERS 3 es ~ GET /a
        down SETTINGS ack
        down RST 1 PROTOCOL_ERROR
        down HEADERS 3 es ~ :status=200
        told ...
        told answered 3 200"),
    ("the server's table lives on beside the answers", "
        > HEADERS + es GET /a
        < HEADERS 1 es :status=200 +server=s
        > HEADERS + es GET /no
        > HEADERS + es GET /a
        < HEADERS 5 es :status=200 #62
        up HEADERS 1 es GET /a
        up HEADERS 5 es ~ GET /a
        down HEADERS 1 es :status=200 server=s
        down HEADERS 3 :status=403 content-type=text/plain content-length=15
        down DATA 3 es denied
        down HEADERS 5 es :status=200 server=s
        told ...
        told answered 5 200"),
    ("a block beyond one frame", "
        > HEADERS + es GET /a +x-a=01234567890123456789012345678901234567890123456789012345678901234567890123456789
        > HEADERS + es GET /no
        > HEADERS + es GET /b raw=bebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebe
        up ...
        down ...
        told allow 1 GET /a
        told deny 3 GET /no
        told allow 5 GET /b"),
];
