//! What goes through as it came.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "a request and its response",
        "
        > HEADERS + es GET /a
        < HEADERS 1 :status=200
        < DATA 1 es 5
        verbatim
        told allow 1 GET /a
        told answered 1 200",
    ),
    (
        "both prefaces",
        "
        raw
        > PREFACE
        > SETTINGS push=0 window=1000000
        > WINDOW 0 1000000
        > HEADERS + es GET /a
        < SETTINGS streams=100
        < SETTINGS ack
        > SETTINGS ack
        verbatim
        told allow 1 GET /a",
    ),
    (
        "settings",
        "
        > SETTINGS ack
        > SETTINGS push=0 streams=5 window=1000 frame=20000 list=999 200=1
        < SETTINGS ack
        < SETTINGS streams=7 list=16000 8=1
        > SETTINGS ack
        > SETTINGS
        < SETTINGS ack
        verbatim",
    ),
    (
        "a table as large as is held",
        "
        > SETTINGS table=65536
        < SETTINGS table=65536
        verbatim",
    ),
    (
        "a client's table larger than is held",
        "
        > SETTINGS push=0 table=65537 window=9
        up SETTINGS push=0 table=65536 window=9",
    ),
    (
        "a server's table larger than is held, twice",
        "
        < SETTINGS table=4294967295 table=100000
        down SETTINGS table=65536 table=65536",
    ),
    (
        "pings of both sides",
        "
        > PING
        < PING ack
        < PING
        > PING ack
        verbatim",
    ),
    (
        "priorities of open, idle and server streams",
        "
        > HEADERS + GET /a
        > PRIORITY 1
        > PRIORITY 99
        > PRIORITY 2
        verbatim
        told allow 1 GET /a",
    ),
    (
        "the client's GOAWAY",
        "
        > HEADERS + es GET /a
        > GOAWAY 0 NO_ERROR
        < HEADERS 1 es :status=204
        verbatim
        told allow 1 GET /a
        told answered 1 204",
    ),
    (
        "unknown frame types",
        "
        > FRAME 16 0 0 8
        > FRAME 170 255 0 0
        > FRAME 171 9 4 300
        < FRAME 12 0 0 30
        < FRAME 170 1 6 0
        verbatim",
    ),
    (
        "windows",
        "
        > WINDOW 0 1000
        > HEADERS + GET /a
        > WINDOW 1 2147483647
        < WINDOW 0 5
        < WINDOW 1 5
        verbatim
        told allow 1 GET /a",
    ),
    (
        "flags without meaning and reserved bits",
        "
        > FRAME 6 254 2147483648 8
        < FRAME 6 254 2147483648 8
        verbatim",
    ),
    (
        "bodies with padding and without",
        "
        > HEADERS + POST /a content-length=9
        > DATA 1 4
        > DATA 1 pad=7 3
        > DATA 1 pad=0 2
        > DATA 1 es 0
        < HEADERS 1 :status=200
        < DATA 1 pad=255 1
        < DATA 1 es pad=3 0
        verbatim
        told allow 1 POST /a
        told answered 1 200",
    ),
    (
        "padding and nothing else",
        "
        > HEADERS + POST /a
        > DATA 1 es pad=255 0
        verbatim
        told allow 1 POST /a",
    ),
    (
        "trailers of both sides",
        "
        > HEADERS + POST /a te=trailers
        > DATA 1 3
        > HEADERS 1 es x-sum=1
        < HEADERS 1 :status=200
        < DATA 1 3
        < HEADERS 1 es x-sum=1
        verbatim
        told allow 1 POST /a
        told answered 1 200",
    ),
    (
        "trailers without a body",
        "
        > HEADERS + POST /a content-length=0
        > HEADERS 1 es x-sum=1
        verbatim
        told allow 1 POST /a",
    ),
    (
        "streams side by side",
        "
        > HEADERS + POST /a
        > HEADERS + es GET /b
        > DATA 1 10
        < HEADERS 3 :status=200
        > DATA 1 es 10
        < HEADERS 1 :status=200
        < DATA 3 es 4
        < DATA 1 es 4
        verbatim
        told allow 1 POST /a
        told allow 3 GET /b
        told answered 3 200
        told answered 1 200",
    ),
    (
        "an extended CONNECT is judged by its path, and opaque",
        "
        < SETTINGS 8=1
        > HEADERS + :method=CONNECT :protocol=websocket :scheme=http :path=/chat :authority=h
        < HEADERS 1 :status=200
        > DATA 1 20
        < DATA 1 30
        > DATA 1 es 0
        < DATA 1 es 0
        verbatim
        told allow 1 CONNECT /chat
        told answered 1 200",
    ),
    (
        "a tunnel is judged by its authority",
        "
        > HEADERS + :method=CONNECT :authority=h:443
        < HEADERS 1 :status=200
        > DATA 1 20
        < DATA 1 30
        verbatim
        told allow 1 CONNECT h:443
        told answered 1 200",
    ),
    (
        "OPTIONS of the server",
        "
        > HEADERS + es OPTIONS *
        verbatim
        told allow 1 OPTIONS *",
    ),
    (
        "cookie crumbs, values with obsolete text and tabs, empty values",
        "
        > HEADERS + es GET /a cookie=a cookie=b x-a=ä\\tb x-b=
        verbatim
        told allow 1 GET /a",
    ),
    (
        "host beside the same authority, and alone",
        "
        > HEADERS + es GET /a host=h
        > HEADERS + es :method=GET :scheme=https :path=/b host=other:1
        > HEADERS + es :path=/c :scheme=http :method=GET
        verbatim
        told allow 1 GET /a
        told allow 3 GET /b
        told allow 5 GET /c",
    ),
    (
        "the client resets",
        "
        > HEADERS + GET /a
        > RST 1 CANCEL
        > PRIORITY 99
        verbatim
        told allow 1 GET /a
        told reset 1",
    ),
    (
        "the server resets, and the client has not heard of it",
        "
        > HEADERS + POST /a
        < RST 1 CANCEL
        > DATA 1 5
        > WINDOW 1 5
        > HEADERS 1 es x-sum=1
        verbatim
        told allow 1 POST /a
        told reset 1",
    ),
    (
        "stream ids that are left out",
        "
        > HEADERS 7 es GET /a
        > HEADERS 2147483647 es GET /b
        verbatim
        told allow 7 GET /a
        told allow 2147483647 GET /b",
    ),
];
