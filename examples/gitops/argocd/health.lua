-- The health of an MLJob for Argo CD. health.lua and argocd-cm.yaml contain the same script.
local health = { status = "Progressing", message = "Waiting for the operator." }
local status = obj.status
if status == nil or status.phase == nil then
  return health
end
-- A deletion increments the generation too. Argo CD needs the result of a hook that it is deleting.
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
  -- The MLJob failed, was cancelled, or can't run its spec: the conf is invalid, or the change came too late.
  if condition.type == "Stalled" and condition.status == "True" then
    health.status = "Degraded"
    health.message = condition.message
  end
end
return health
