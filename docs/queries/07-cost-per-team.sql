-- What did each team's agents cost, per day and model?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01): first day, UTC
-- to (2026-11-30): last day, included
SELECT
    day,
    if(agent_owner = '', 'not registered', agent_owner) AS team,
    agent_name,
    model_provider,
    model_name,
    sum(m.responses) AS answers,
    sum(m.input_tokens) AS tokens_in,
    sum(m.output_tokens) AS tokens_out,
    round(sum(m.cost_usd), 4) AS usd,
    sum(m.responses_without_cost) AS answers_without_cost
FROM model_usage AS m
WHERE tenant_id = {tenant:String} AND day >= {from:Date} AND day <= {to:Date}
GROUP BY day, team, agent_name, model_provider, model_name
ORDER BY day, usd DESC, agent_name, model_name
