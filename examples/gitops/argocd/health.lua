-- The health of an MLJob, for Argo CD. The same text is in argocd-cm.yaml.
local health = { status = "Progressing", message = "Waiting for the operator." }
local status = obj.status
if status == nil or status.phase == nil then
  return health
end
-- A deletion is a new generation too. Argo CD asks for the health of a hook that it deletes, and wants to know how it ended.
if status.observedGeneration ~= obj.metadata.generation and obj.metadata.deletionTimestamp == nil then
  health.message = "Waiting for the operator to act on the new spec."
  return health
end
health.message = status.message
if status.phase == "Succeeded" then
  health.status = "Healthy"
elseif status.phase == "Suspended" then
  health.status = "Suspended"
end
for _, condition in ipairs(status.conditions or {}) do
  -- It failed, it was cancelled, or its spec cannot be run: its conf does not fit the DAG, or it was changed too late.
  if condition.type == "Stalled" and condition.status == "True" then
    health.status = "Degraded"
    health.message = condition.message
  end
end
return health
