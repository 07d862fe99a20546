{{/* Names, labels and the environment of mljob-api. */}}

{{- define "mljob-operator.api.fullname" -}}
{{- include "mljob-operator.fullname" . | trunc 59 | trimSuffix "-" }}-api
{{- end }}

{{/*
The name differs from the operator's, so that the operator's Service and Deployment do not select the
Pods of mljob-api.
*/}}
{{- define "mljob-operator.api.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mljob-operator.name" . | trunc 59 | trimSuffix "-" }}-api
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mljob-operator.api.labels" -}}
{{ merge (include "mljob-operator.api.selectorLabels" . | fromYaml) (include "mljob-operator.labels" . | fromYaml) | toYaml }}
{{- end }}

{{/* The Secret with the serving certificate. */}}
{{- define "mljob-operator.api.tlsSecret" -}}
{{- .Values.api.tls.existingSecret | default (printf "%s-tls" (include "mljob-operator.api.fullname" .)) }}
{{- end }}

{{/* The names of the Service, as a YAML list. The control plane verifies the first. */}}
{{- define "mljob-operator.api.dnsNames" -}}
{{- $service := printf "%s.%s.svc" (include "mljob-operator.api.fullname" .) .Release.Namespace }}
- {{ $service }}
- {{ $service }}.cluster.local
{{- end }}

{{/* Variables of the operator that mljob-api has no use for. */}}
{{- define "mljob-operator.api.unused" -}}
- MLJOB_AIRFLOW_ACCEPT_VANISHED_RUNS_BEFORE
- MLJOB_CANCEL_FALLBACK_SECONDS
- MLJOB_DEAD_LETTER_TOPIC
- MLJOB_HTTP_HOST
- MLJOB_HTTP_PORT
- MLJOB_KAFKA_GROUP_ID
- MLJOB_LEASE_NAME
- MLJOB_LEASE_SECONDS
- MLJOB_ORPHANED_RUNS
- MLJOB_POD_NAME
- MLJOB_POD_UID
- MLJOB_RESYNC_INTERVAL_SECONDS
- MLJOB_SELECTOR
- MLJOB_STATUS_INTERVAL_SECONDS
{{- end }}

{{- define "mljob-operator.api.ownEnv" -}}
- name: MLJOB_API_HOST
  value: {{ .Values.operator.httpHost | quote }}
- name: MLJOB_API_PORT
  value: {{ .Values.api.port | quote }}
- name: MLJOB_API_PROBE_HOST
  value: {{ .Values.operator.httpHost | quote }}
- name: MLJOB_API_PROBE_PORT
  value: "8081"
- name: MLJOB_API_CERT_FILE
  value: /etc/mljob-operator/api-tls/tls.crt
- name: MLJOB_API_KEY_FILE
  value: /etc/mljob-operator/api-tls/tls.key
{{- with .Values.api }}
- name: MLJOB_API_ALLOW_ANY_FRONT_PROXY_NAME
  value: {{ .allowAnyFrontProxyName | quote }}
- name: MLJOB_API_EVENTS_IN_ANY_PARTITION
  value: {{ .eventsInAnyPartition | quote }}
- name: MLJOB_API_CONNECTIONS
  value: {{ .limits.connections | quote }}
- name: MLJOB_API_STREAMS
  value: {{ .limits.streams | quote }}
- name: MLJOB_API_EVENT_READERS
  value: {{ .limits.eventReaders | quote }}
- name: MLJOB_API_FOLLOW_SECONDS
  value: {{ .limits.followSeconds | quote }}
{{- end }}
{{- end }}

{{/* The environment of mljob-api: the operator's, where it has a use for it, and its own. */}}
{{- define "mljob-operator.api.env" -}}
{{- $unused := include "mljob-operator.api.unused" . | fromYamlArray }}
{{- $own := include "mljob-operator.api.ownEnv" . | fromYamlArray }}
{{- $env := list }}
{{- range include "mljob-operator.env" . | fromYamlArray }}
{{- if not (has .name $unused) }}
{{- $env = append $env . }}
{{- $name := .name }}
{{- $others := list }}
{{- range $own }}{{ if ne .name $name }}{{ $others = append $others . }}{{ end }}{{ end }}
{{- $own = $others }}
{{- end }}
{{- end }}
{{- toYaml (concat $env $own) }}
{{- end }}
