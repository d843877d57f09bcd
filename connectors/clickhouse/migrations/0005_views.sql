-- Views for analysts. SQL SECURITY INVOKER: the row policies of whoever asks hold, so a tenant's analyst sees that tenant only.
-- views.yaml documents each column; docs/data-dictionary.md is made from it.
-- Views of one row an event pass conditions on tenant_id, occurred_at and event_type on to the sort key of `events`.
CREATE OR REPLACE VIEW {namespace}.tool_calls SQL SECURITY INVOKER AS
SELECT
    tenant_id, occurred_at, event_type, outcome, tool_name, tool_server, tool_version, tool_definition_digest, tool_category,
    processed_tool_risk,
    substring(arrayFirst(owner -> startsWith(owner, 'tool:'), processed_owners), 6) AS tool_owner,
    tool_call_id, tool_args, tool_result, duration_ms, activity, target_type, target_id, entity_path,
    decision, policy_id, reason, approval_id, error_type, error_message,
    agent_id, agent_name, agent_version, agent_type,
    substring(arrayFirst(owner -> startsWith(owner, 'agent:'), processed_owners), 7) AS agent_owner,
    actor_type, actor_id, human_principal_id, session_id, trace_id, source,
    processed_controls, processed_flags, processed_reference_revision, event_id
FROM {namespace}.events
WHERE event_type IN ('tool.invoked', 'tool.denied', 'tool.retried', 'tool.responded', 'tool.failed')
COMMENT 'One row per step of a tool call; tool_call_id joins the steps';

CREATE OR REPLACE VIEW {namespace}.denials_and_failures SQL SECURITY INVOKER AS
SELECT
    tenant_id, occurred_at, event_type, outcome,
    multiIf(outcome = 'denied' OR decision = 'deny' OR event_type = 'tool.denied', 'denied',
            event_type = 'approval.rejected' OR approval_status = 'rejected', 'rejected', 'failed') AS kind,
    tool_name, tool_server, tool_category, processed_tool_risk,
    substring(arrayFirst(owner -> startsWith(owner, 'tool:'), processed_owners), 6) AS tool_owner,
    tool_call_id, model_provider, model_name, activity, target_type, target_id, entity_path,
    decision, policy_id, reason, approval_id, approver_id, error_type, error_message,
    agent_id, agent_name, agent_version,
    substring(arrayFirst(owner -> startsWith(owner, 'agent:'), processed_owners), 7) AS agent_owner,
    actor_type, actor_id, human_principal_id, session_id, trace_id, source,
    processed_controls, processed_flags, event_id
FROM {namespace}.events
WHERE outcome IN ('denied', 'failure', 'error') OR decision = 'deny' OR approval_status = 'rejected'
    OR event_type IN ('tool.denied', 'tool.failed', 'model.failed', 'session.failed', 'approval.rejected')
COMMENT 'One row per event that was denied, rejected or failed';

-- Who acted and whom for; what models were asked and answered is in model_usage, what tools answered in tool_calls.
CREATE OR REPLACE VIEW {namespace}.who_did_what_for_whom SQL SECURITY INVOKER AS
SELECT
    tenant_id, occurred_at, actor_type, actor_id, actor_name, agent_id, agent_name, agent_version,
    substring(arrayFirst(owner -> startsWith(owner, 'agent:'), processed_owners), 7) AS agent_owner,
    event_type, activity, tool_name, tool_server, tool_category, processed_tool_risk,
    substring(arrayFirst(owner -> startsWith(owner, 'tool:'), processed_owners), 6) AS tool_owner,
    target_type, target_id, target_details, entity_type, entity_id, entity_path, outcome, decision, policy_id, reason,
    human_principal_id, human_principal_name, delegation_chain, length(delegation_chain) AS delegation_depth,
    approval_id, approver_id, ip_address, session_id, parent_session_id, trace_id, source,
    processed_controls, processed_flags, processed_tenant_region, event_id
FROM {namespace}.events
WHERE (actor_id != '' OR actor_name != '' OR agent_id != '' OR agent_name != '' OR human_principal_id != '')
    AND event_type NOT IN ('model.requested', 'model.responded', 'model.failed', 'tool.responded')
COMMENT 'One row per action: who acted, what was done, on whose behalf';

-- Tokens and cost are counted where models answer: a request may state them a second time. A condition on `day` skips by the
-- index occurred_range.
CREATE OR REPLACE VIEW {namespace}.model_usage SQL SECURITY INVOKER AS
SELECT
    tenant_id, toDate(occurred_at) AS day, model_provider, model_name, agent_id, agent_name,
    substring(arrayFirst(owner -> startsWith(owner, 'agent:'), processed_owners), 7) AS agent_owner,
    countIf(event_type = 'model.requested') AS requests,
    countIf(event_type = 'model.responded') AS responses,
    countIf(event_type = 'model.failed') AS failures,
    sumIf(ifNull(e.input_tokens, 0), event_type != 'model.requested') AS input_tokens,
    sumIf(ifNull(e.output_tokens, 0), event_type != 'model.requested') AS output_tokens,
    sumIf(ifNull(e.cost_usd, 0), event_type != 'model.requested') AS cost_usd,
    countIf(event_type = 'model.responded' AND isNull(e.cost_usd)) AS responses_without_cost,
    avgOrNullIf(e.duration_ms, event_type = 'model.responded') AS average_duration_ms
FROM {namespace}.events AS e
WHERE event_type IN ('model.requested', 'model.responded', 'model.failed')
GROUP BY tenant_id, day, model_provider, model_name, agent_id, agent_name, agent_owner
COMMENT 'One row per day (UTC), model and agent: calls, tokens, cost';

-- When a session began is known after its events are gathered, so of conditions only tenant_id and session_id narrow what is read.
CREATE OR REPLACE VIEW {namespace}.sessions SQL SECURITY INVOKER AS
SELECT
    tenant_id, session_id, first_at AS started_at,
    if(last_step IN ('session.ended', 'session.failed', 'session.stopped'), last_step_at, NULL) AS ended_at,
    last_at AS last_event_at,
    dateDiff('millisecond', started_at, ifNull(ended_at, last_event_at)) / 1000 AS duration_seconds,
    last_status AS session_status,
    multiIf(isNull(ended_at), 'open', last_step = 'session.failed' OR last_status = 'failed', 'failure',
            last_step = 'session.stopped' OR last_status = 'stopped', 'stopped',
            last_outcome != '', last_outcome, 'success') AS outcome,
    error_type, agent_id, agent_name, agent_version, agent_owner, human_principal_id, parent_session_id, flow_definition,
    events, tool_calls, denials, failures, approvals_requested, input_tokens, output_tokens, cost_usd, processed_flags
FROM
(
    SELECT
        tenant_id, session_id, min(occurred_at) AS first_at, max(occurred_at) AS last_at,
        argMaxIf(event_type, occurred_at, startsWith(event_type, 'session.')) AS last_step,
        maxIf(occurred_at, startsWith(event_type, 'session.')) AS last_step_at,
        argMaxIf(e.session_status, occurred_at, e.session_status != '') AS last_status,
        argMaxIf(e.outcome, occurred_at, startsWith(event_type, 'session.')) AS last_outcome,
        argMaxIf(e.error_type, occurred_at, startsWith(event_type, 'session.')) AS error_type,
        argMaxIf(e.agent_id, occurred_at, e.agent_id != '') AS agent_id,
        argMaxIf(e.agent_name, occurred_at, e.agent_name != '') AS agent_name,
        argMaxIf(e.agent_version, occurred_at, e.agent_version != '') AS agent_version,
        substring(argMaxIf(arrayFirst(owner -> startsWith(owner, 'agent:'), processed_owners), occurred_at,
            arrayExists(owner -> startsWith(owner, 'agent:'), processed_owners)), 7) AS agent_owner,
        argMaxIf(e.human_principal_id, occurred_at, e.human_principal_id != '') AS human_principal_id,
        argMaxIf(e.parent_session_id, occurred_at, e.parent_session_id != '') AS parent_session_id,
        argMaxIf(e.flow_definition, occurred_at, e.flow_definition != '') AS flow_definition,
        count() AS events,
        countIf(event_type = 'tool.invoked') AS tool_calls,
        countIf(event_type = 'tool.denied' OR e.outcome = 'denied') AS denials,
        countIf(event_type IN ('tool.failed', 'model.failed')) AS failures,
        countIf(event_type = 'approval.requested') AS approvals_requested,
        sumIf(ifNull(e.input_tokens, 0), event_type IN ('model.responded', 'model.failed')) AS input_tokens,
        sumIf(ifNull(e.output_tokens, 0), event_type IN ('model.responded', 'model.failed')) AS output_tokens,
        sumIf(ifNull(e.cost_usd, 0), event_type IN ('model.responded', 'model.failed')) AS cost_usd,
        arraySort(groupUniqArrayArray(e.processed_flags)) AS processed_flags
    FROM {namespace}.events AS e
    WHERE e.session_id != ''
    GROUP BY tenant_id, session_id
)
COMMENT 'One row per session: duration, outcome, tool calls, denials, tokens, cost';

-- Few events: within an hour of a tenant those of one type lie together, so the others are skipped.
CREATE OR REPLACE VIEW {namespace}.approvals SQL SECURITY INVOKER AS
SELECT
    tenant_id, approval, asked_at AS requested_at, answered_at AS decided_at,
    dateDiff('millisecond', requested_at, decided_at) / 1000 AS waited_seconds,
    multiIf(isNull(decided_at), 'requested', answer != '', answer, substring(answer_type, 10)) AS approval_status,
    approver_id, human_principal_id, actor_id, agent_id, agent_name, agent_owner, session_id,
    tool_name, tool_server, processed_tool_risk, tool_owner, tool_call_id, target_type, target_id, policy_id,
    request_reason, decision_reason, processed_flags
FROM
(
    SELECT
        tenant_id,
        multiIf(approval_id != '', approval_id, e.tool_call_id != '', concat(e.session_id, '/', e.tool_call_id), event_id)
            AS approval,
        minOrNullIf(occurred_at, event_type = 'approval.requested') AS asked_at,
        maxOrNullIf(occurred_at, event_type != 'approval.requested') AS answered_at,
        argMaxIf(approval_status, occurred_at, event_type != 'approval.requested') AS answer,
        argMaxIf(event_type, occurred_at, event_type != 'approval.requested') AS answer_type,
        argMaxIf(e.approver_id, occurred_at, event_type != 'approval.requested') AS approver_id,
        argMaxIf(e.human_principal_id, occurred_at, e.human_principal_id != '') AS human_principal_id,
        argMinIf(e.actor_id, occurred_at, event_type = 'approval.requested') AS actor_id,
        argMaxIf(e.agent_id, occurred_at, e.agent_id != '') AS agent_id,
        argMaxIf(e.agent_name, occurred_at, e.agent_name != '') AS agent_name,
        substring(argMaxIf(arrayFirst(owner -> startsWith(owner, 'agent:'), processed_owners), occurred_at,
            arrayExists(owner -> startsWith(owner, 'agent:'), processed_owners)), 7) AS agent_owner,
        argMaxIf(e.session_id, occurred_at, e.session_id != '') AS session_id,
        argMaxIf(e.tool_name, occurred_at, e.tool_name != '') AS tool_name,
        argMaxIf(e.tool_server, occurred_at, e.tool_server != '') AS tool_server,
        argMaxIf(e.processed_tool_risk, occurred_at, e.processed_tool_risk != '') AS processed_tool_risk,
        substring(argMaxIf(arrayFirst(owner -> startsWith(owner, 'tool:'), processed_owners), occurred_at,
            arrayExists(owner -> startsWith(owner, 'tool:'), processed_owners)), 6) AS tool_owner,
        argMaxIf(e.tool_call_id, occurred_at, e.tool_call_id != '') AS tool_call_id,
        argMaxIf(e.target_type, occurred_at, e.target_type != '') AS target_type,
        argMaxIf(e.target_id, occurred_at, e.target_id != '') AS target_id,
        argMaxIf(e.policy_id, occurred_at, e.policy_id != '') AS policy_id,
        argMinIf(reason, occurred_at, event_type = 'approval.requested') AS request_reason,
        argMaxIf(reason, occurred_at, event_type != 'approval.requested') AS decision_reason,
        arraySort(groupUniqArrayArray(e.processed_flags)) AS processed_flags
    FROM {namespace}.events AS e
    WHERE event_type IN ('approval.requested', 'approval.approved', 'approval.rejected', 'approval.modified', 'approval.expired')
    GROUP BY tenant_id, approval
)
COMMENT 'One row per approval: asked, decided, by whom, after how long';
