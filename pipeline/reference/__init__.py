"""Reference data: what people register about tenants, agents, tools, sources and controls, in immutable revisions."""
