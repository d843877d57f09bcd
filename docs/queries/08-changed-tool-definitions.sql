-- Which tools did agents see with another definition than the approved one?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of occurred_at, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
SELECT
    tool_server,
    tool_name,
    tool_version,
    tool_definition_digest AS seen,
    splitByChar('=', arrayFirst(flag -> startsWith(flag, 'tool_definition_differs='), processed_flags))[2] AS approved,
    tool_owner,
    groupUniqArray(agent_name) AS agents,
    count() AS events,
    min(occurred_at) AS first_at
FROM tool_calls
WHERE tenant_id = {tenant:String}
    AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')}
    AND arrayExists(flag -> startsWith(flag, 'tool_definition_differs='), processed_flags)
GROUP BY tool_server, tool_name, tool_version, seen, approved, tool_owner
ORDER BY events DESC, tool_server, tool_name, seen
