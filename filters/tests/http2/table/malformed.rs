//! Requests that are no HTTP, or none that all servers read alike. None reaches the upstream, and the next one does.

use std::iter;

/// RST_STREAM.
const RESET: &str = "RST 1 PROTOCOL_ERROR";
const BAD: &str = "HEADERS 1 es :status=400 content-length=0";

const PSEUDO: &str = "malformed pseudo-header field";
const HEADER: &str = "malformed header";
const LENGTH: &str = "malformed or wrong Content-Length";
const HOST: &str = "malformed or conflicting Host";
const TARGET: &str = "malformed request target";
const LINE: &str = "malformed start line";

/// Name, fields, answer, refusal.
const REQUESTS: &[(&str, &str, &str, &str)] = &[
    ("no fields", "", RESET, PSEUDO),
    ("no method", ":scheme=http :path=/ :authority=h", RESET, PSEUDO),
    ("no scheme", ":method=GET :path=/ :authority=h", RESET, PSEUDO),
    ("no path", ":method=GET :scheme=http :authority=h", RESET, PSEUDO),
    ("an empty path", ":method=GET :scheme=http :path= :authority=h", RESET, PSEUDO),
    ("an empty method", ":method= :scheme=http :path=/ :authority=h", RESET, PSEUDO),
    ("a method that is no token", ":method=GE\\sT :scheme=http :path=/ :authority=h", RESET, PSEUDO),
    ("an empty scheme", ":method=GET :scheme= :path=/ :authority=h", RESET, PSEUDO),
    ("a scheme that is none", ":method=GET :scheme=http:// :path=/ :authority=h", RESET, PSEUDO),
    ("a scheme that begins with a digit", ":method=GET :scheme=1 :path=/ :authority=h", RESET, PSEUDO),
    ("two methods", ":method=GET :method=GET :scheme=http :path=/ :authority=h", RESET, PSEUDO),
    ("two schemes", ":method=GET :scheme=http :scheme=http :path=/ :authority=h", RESET, PSEUDO),
    ("two paths", ":method=GET :scheme=http :path=/ :path=/no :authority=h", RESET, PSEUDO),
    ("two authorities", "GET / :authority=h", RESET, PSEUDO),
    ("a late pseudo field", ":method=GET :scheme=http :path=/ x-a=1 :authority=h", RESET, PSEUDO),
    ("a late second path", "GET / x-a=1 :path=/no", RESET, PSEUDO),
    ("an unknown pseudo field", "GET / :host=h", RESET, PSEUDO),
    ("a pseudo field of responses", "GET / :status=200", RESET, PSEUDO),
    ("a pseudo field in capitals", ":method=GET :scheme=http :Path=/ :authority=h", RESET, PSEUDO),
    ("a name that is a colon", "GET / :=x", RESET, PSEUDO),
    ("a space before the path", ":method=GET :scheme=http :path=\\s/ :authority=h", RESET, PSEUDO),
    ("a NUL in the path", ":method=GET :scheme=http :path=/\\0 :authority=h", RESET, PSEUDO),
    ("a space in the path", ":method=GET :scheme=http :path=/a\\sb :authority=h", BAD, TARGET),
    ("a tab in the path", ":method=GET :scheme=http :path=/a\\tb :authority=h", BAD, TARGET),
    ("a fragment", ":method=GET :scheme=http :path=/a#b :authority=h", BAD, TARGET),
    ("a path beyond ASCII", ":method=GET :scheme=http :path=/ä :authority=h", BAD, TARGET),
    ("a path without a slash", ":method=GET :scheme=http :path=a :authority=h", BAD, TARGET),
    ("an absolute path", ":method=GET :scheme=http :path=http://h/ :authority=h", BAD, TARGET),
    ("a query alone", ":method=GET :scheme=http :path=?a :authority=h", BAD, TARGET),
    ("a star for GET", "GET *", BAD, TARGET),
    ("a broken escape", "GET /%2", BAD, "path: "),
    ("a path that leads out", "GET /a/%2e%2e/%2f", BAD, "path: "),
    ("a lower-case HEAD", ":method=head :scheme=http :path=/ :authority=h", BAD, LINE),
    ("a lower-case CONNECT", ":method=connect :scheme=http :path=/ :authority=h", BAD, LINE),
    ("an empty authority", ":method=GET :scheme=http :path=/ :authority=", BAD, HOST),
    ("an authority with a user", ":method=GET :scheme=http :path=/ :authority=u@h", BAD, HOST),
    ("an authority with a comma", ":method=GET :scheme=http :path=/ :authority=a,b", BAD, HOST),
    ("an authority with a path", ":method=GET :scheme=http :path=/ :authority=h/a", BAD, HOST),
    ("an authority with a port that is none", ":method=GET :scheme=http :path=/ :authority=h:a", BAD, HOST),
    ("another host than the authority", "GET / host=other", BAD, HOST),
    (
        "a host without a port, an authority with one",
        ":method=GET :scheme=http :path=/ :authority=h:1 host=h",
        BAD,
        HOST,
    ),
    ("an empty host beside an authority", "GET / host=", BAD, HOST),
    ("two hosts", ":method=GET :scheme=http :path=/ host=h host=h", BAD, HOST),
    ("a host with a user", ":method=GET :scheme=http :path=/ host=u@h", BAD, HOST),
    ("an upper-case name", "GET / X-a=1", RESET, HEADER),
    ("an upper-case letter at the end", "GET / x-A=1", RESET, HEADER),
    ("a name with a space", "GET / raw=0004782061780131", RESET, HEADER),
    ("a name with a colon inside", "GET / x:a=1", RESET, HEADER),
    ("an empty name", "GET / raw=00000131", RESET, HEADER),
    ("a name beyond ASCII", "GET / raw=0001e40131", RESET, HEADER),
    ("a NUL in a value", "GET / x-a=a\\0", RESET, HEADER),
    ("CR in a value", "GET / raw=00017803610d62", RESET, HEADER),
    ("LF in a value", "GET / raw=00017803610a62", RESET, HEADER),
    ("a request in a value", "GET / raw=000178050d0a0d0a47", RESET, HEADER),
    ("DEL in a value", "GET / raw=000178017f", RESET, HEADER),
    ("space before a value", "GET / x-a=\\sa", RESET, HEADER),
    ("space behind a value", "GET / x-a=a\\s", RESET, HEADER),
    ("a tab behind a value", "GET / x-a=a\\t", RESET, HEADER),
    ("connection", "GET / connection=close", RESET, HEADER),
    ("proxy-connection", "GET / proxy-connection=close", RESET, HEADER),
    ("keep-alive", "GET / keep-alive=timeout", RESET, HEADER),
    ("transfer-encoding", "GET / transfer-encoding=chunked", RESET, HEADER),
    ("upgrade", "GET / upgrade=h2c", RESET, HEADER),
    ("te other than trailers", "GET / te=gzip", RESET, HEADER),
    ("te with more than trailers", "GET / te=trailers,\\sgzip", RESET, HEADER),
    ("content_length", "GET / content_length=1", BAD, HEADER),
    ("transfer_encoding", "GET / transfer_encoding=chunked", BAD, HEADER),
    ("a length that is none", "GET / content-length=a", RESET, LENGTH),
    ("a length with a sign", "GET / content-length=+1", RESET, LENGTH),
    ("a negative length", "GET / content-length=-1", RESET, LENGTH),
    ("an empty length", "GET / content-length=", RESET, LENGTH),
    ("a length beyond 64 bits", "GET / content-length=18446744073709551616", RESET, LENGTH),
    ("two lengths", "GET / content-length=0 content-length=0", RESET, LENGTH),
    ("two lengths in one", "GET / content-length=0,0", RESET, LENGTH),
    ("a length without a body", "POST / content-length=1", RESET, LENGTH),
    ("a tunnel with a path", ":method=CONNECT :path=/ :authority=h:1", RESET, PSEUDO),
    ("a tunnel with a scheme", ":method=CONNECT :scheme=http :authority=h:1", RESET, PSEUDO),
    ("a tunnel to nowhere", ":method=CONNECT", RESET, PSEUDO),
    ("a tunnel to a host alone", ":method=CONNECT host=h:1", RESET, PSEUDO),
    ("a tunnel without a port", ":method=CONNECT :authority=h", BAD, TARGET),
    ("a tunnel with an empty port", ":method=CONNECT :authority=h:", BAD, TARGET),
    ("a tunnel to an address without a port", ":method=CONNECT :authority=[::1]", BAD, TARGET),
    ("a protocol without CONNECT", "GET / :protocol=websocket", RESET, PSEUDO),
    ("a late protocol", "GET / x-a=1 :protocol=websocket", RESET, PSEUDO),
    ("an extended CONNECT without a path", ":method=CONNECT :protocol=a :scheme=http :authority=h", RESET, PSEUDO),
    ("an extended CONNECT without a scheme", ":method=CONNECT :protocol=a :path=/ :authority=h", RESET, PSEUDO),
    ("an extended CONNECT without an authority", ":method=CONNECT :protocol=a :path=/ :scheme=http", RESET, PSEUDO),
    ("an extended CONNECT to no protocol", "CONNECT / :protocol=", RESET, PSEUDO),
    ("an extended CONNECT to no token", "CONNECT / :protocol=a\\sb", RESET, PSEUDO),
    ("two protocols", "CONNECT / :protocol=a :protocol=a", RESET, PSEUDO),
];

pub(super) fn rows() -> Vec<(String, String)> {
    let rows = REQUESTS.iter().map(|(name, fields, answer, refusal)| {
        let talk = format!(
            "> HEADERS + es {fields}
            > HEADERS + es GET /after
            up HEADERS 3 es ~ GET /after
            down {answer}
            told refused {refusal}*
            told allow 3 GET /after"
        );
        (name.to_string(), talk)
    });
    // A body that is still coming is dropped.
    let body = "
        > HEADERS + GET / te=gzip
        > DATA 1 10
        > DATA 1 es 10
        > HEADERS + GET /a,b host=a,b
        > DATA 3 es 10
        down RST 1 PROTOCOL_ERROR
        down WINDOW 0 10
        down WINDOW 0 10
        down HEADERS 3 es :status=400 content-length=0
        down WINDOW 0 10
        told refused malformed header*
        told refused malformed or conflicting Host*";
    rows.chain(iter::once(("with a body".to_string(), body.to_string()))).collect()
}
