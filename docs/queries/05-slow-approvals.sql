-- Which approvals waited longer than so many minutes, or wait still?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of the request, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
-- minutes (30): how long is too long
SELECT
    requested_at,
    approval_status,
    round(waited_seconds / 60, 1) AS waited_minutes,
    agent_name,
    human_principal_id,
    tool_name,
    approver_id,
    approval
FROM approvals
WHERE tenant_id = {tenant:String}
    AND requested_at >= {from:DateTime('UTC')} AND requested_at < {to:DateTime('UTC')}
    AND (decided_at IS NULL OR waited_seconds > {minutes:UInt32} * 60)
ORDER BY requested_at, approval
