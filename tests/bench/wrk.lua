-- For wrk: WEIR_DISTINCT=N in the environment sends N different paths in turn, prepared before the run; the
-- end of a run is told as one line of JSON, since wrk's own report rounds.
local requests, at = {}, 0

function init(args)
    local distinct = tonumber(os.getenv("WEIR_DISTINCT") or "0")
    for i = 1, distinct do
        requests[i] = wrk.format("GET", wrk.path .. "/" .. i)
    end
    if distinct > 0 then
        request = function()
            at = at % distinct + 1
            return requests[at]
        end
    end
end

function done(summary, latency, _)
    local e = summary.errors
    io.write(string.format(
        'JSON {"requests": %d, "duration_us": %d, "bytes": %d, "errors": %d, "p50": %d, "p99": %d}\n',
        summary.requests, summary.duration, summary.bytes,
        e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(50), latency:percentile(99)))
end
