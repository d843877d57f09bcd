-- Through how many hands did authority pass before something was done, and whose was it at first?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of occurred_at, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
-- depth (3): chains of at least so many parties
SELECT
    delegation_depth AS depth,
    arrayStringConcat(delegation_chain, ' > ') AS chain,
    human_principal_id,
    countIf(event_type = 'tool.invoked') AS tool_calls,
    countIf(outcome = 'denied') AS denied,
    uniqExact(session_id) AS sessions,
    max(occurred_at) AS last_at
FROM who_did_what_for_whom
WHERE tenant_id = {tenant:String}
    AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')}
    AND delegation_depth >= {depth:UInt32}
GROUP BY depth, chain, human_principal_id
ORDER BY depth DESC, tool_calls DESC, chain
