-- wrk's figures as one line of JSON, in full precision: the text that wrk prints is rounded for people. Defining `done`
-- alone costs nothing per request.
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '\nfigures {"requests":%d,"duration_us":%d,"p50_us":%.1f,"p99_us":%.1f,"not_2xx":%d,"socket_errors":%d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.status, e.connect + e.read + e.write + e.timeout))
end
