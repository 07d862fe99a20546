{{/* The parts that the Pods of the operator, of mljob-api and of the view have in common. */}}

{{/*
Fields of the Pod's spec from the values of the container and the Pod. Argument: a list of the context,
the labels that select the Pods, and the number of Pods.
*/}}
{{- define "mljob-operator.podFields" -}}
{{- $context := index . 0 }}
{{- $values := $context.Values }}
{{- $selector := index . 1 | fromYaml }}
{{- $several := gt (int (index . 2)) 1 }}
{{- $fields := dict "terminationGracePeriodSeconds" $values.terminationGracePeriodSeconds }}
{{- range $field := list "imagePullSecrets" "nodeSelector" "affinity" "tolerations" "priorityClassName" "runtimeClassName" "schedulerName" "hostAliases" "dnsPolicy" "dnsConfig" "initContainers" }}
{{- with get $values $field }}
{{- $_ := set $fields $field . }}
{{- end }}
{{- end }}
{{- with $values.podSecurityContext }}
{{- $_ := set $fields "securityContext" . }}
{{- end }}
{{- if and $several (not $values.affinity) }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $selector) }}
{{- $preferred := list (dict "weight" 100 "podAffinityTerm" $term) }}
{{- $_ := set $fields "affinity" (dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" $preferred)) }}
{{- end }}
{{- $spread := list }}
{{- if kindIs "slice" $values.topologySpreadConstraints }}
{{- range $values.topologySpreadConstraints }}
{{- $spread = append $spread (ternary . (merge (dict "labelSelector" (dict "matchLabels" $selector)) .) (hasKey . "labelSelector")) }}
{{- end }}
{{- else if $several }}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
{{- $spread = append $spread (dict "maxSkew" 1 "topologyKey" $key "whenUnsatisfiable" "ScheduleAnyway" "labelSelector" (dict "matchLabels" $selector)) }}
{{- end }}
{{- end }}
{{- with $spread }}
{{- $_ := set $fields "topologySpreadConstraints" . }}
{{- end }}
{{- toYaml $fields }}
{{- end }}

{{/*
Metadata of a Pod. Argument: a list of the context, the labels, those of them that select the Pod, and
the name of the main container. No value overrides a label that selects the Pod.
*/}}
{{- define "mljob-operator.podMetadata" -}}
{{- $values := (index . 0).Values }}
annotations:
  {{- $container := dict "kubectl.kubernetes.io/default-container" (index . 3) | toYaml }}
  {{- include "mljob-operator.merged" (list $container $values.podAnnotations) | nindent 2 }}
labels:
  {{- $labels := include "mljob-operator.merged" (list (index . 1) $values.podLabels) }}
  {{- include "mljob-operator.merged" (list $labels (index . 2 | fromYaml)) | nindent 2 }}
{{- end }}

{{/* Fields of the container from the same values. Argument: a list of the context and the resources. */}}
{{- define "mljob-operator.containerFields" -}}
{{- $values := (index . 0).Values }}
imagePullPolicy: {{ $values.image.pullPolicy }}
{{- with $values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with index . 1 }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
The probes of a container. Argument: a list of the chart's context and the name of the port. The other
probes start after the first successful startup probe.
*/}}
{{- define "mljob-operator.probes" -}}
{{- $values := (index . 0).Values }}
{{- $port := index . 1 }}
startupProbe:
  httpGet:
    path: /livez
    port: {{ $port }}
  periodSeconds: {{ $values.startupProbe.periodSeconds }}
  timeoutSeconds: 5
  failureThreshold: {{ $values.startupProbe.failureThreshold }}
livenessProbe:
  httpGet:
    path: /livez
    port: {{ $port }}
  {{- toYaml $values.livenessProbe | nindent 2 }}
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ $port }}
  {{- toYaml $values.readinessProbe | nindent 2 }}
{{- end }}

{{/* Mounts of /tmp, of the Secrets in the values, and of extraVolumes. */}}
{{- define "mljob-operator.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- range (include "mljob-operator.secretVolumes" . | fromYaml).volumes }}
- name: {{ .name }}
  mountPath: /etc/mljob-operator/{{ .name }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The volumes of these mounts. */}}
{{- define "mljob-operator.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- range (include "mljob-operator.secretVolumes" . | fromYaml).volumes }}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    # Readable by the group of the Pod (fsGroup) only.
    defaultMode: 0440
    {{- with .items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
