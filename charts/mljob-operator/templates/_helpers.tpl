{{/* Names, labels and conditions that several templates share. A condition is "true" or empty. */}}

{{- define "mljob-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of a Service has no dots, but the name of a release may have some. */}}
{{- define "mljob-operator.fullname" -}}
{{- $name := include "mljob-operator.name" . }}
{{- $release := .Release.Name | replace "." "-" }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name $release }}
{{- $release | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" $release $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "mljob-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mljob-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mljob-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "mljob-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/*
Labels or annotations of the chart (YAML), and further ones (a map), which override them. Argument: a list of both.
Not with merge, which takes an empty value for an absent one.
*/}}
{{- define "mljob-operator.merged" -}}
{{- $merged := index . 0 | fromYaml }}
{{- range $key, $value := index . 1 }}
{{- $_ := set $merged $key $value }}
{{- end }}
{{- toYaml $merged }}
{{- end }}

{{/*
The label job that a ServiceMonitor gives to the metrics of a Service. No other Service in the cluster has it. Arguments: root; name, of the Service.
*/}}
{{- define "mljob-operator.scrapeJob" -}}
{{ .root.Release.Namespace }}/{{ .name }}
{{- end }}

{{- define "mljob-operator.serviceAccountName" -}}
{{- default (include "mljob-operator.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "mljob-operator.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether the operator manages AirflowInstances. */}}
{{- define "mljob-operator.instances" -}}
{{- if kindIs "bool" .Values.airflowInstances.enabled }}
{{- if .Values.airflowInstances.enabled }}true{{ end }}
{{- else if not (or .Values.operator.namespaces .Values.operator.selector) }}true
{{- end }}
{{- end }}

{{/* Whether the brokers' listener uses SASL. */}}
{{- define "mljob-operator.kafkaSasl" -}}
{{- if hasPrefix "SASL_" .Values.kafka.securityProtocol }}true{{ end }}
{{- end }}

{{/* Whether the brokers' listener uses TLS. */}}
{{- define "mljob-operator.kafkaTls" -}}
{{- if hasSuffix "SSL" .Values.kafka.securityProtocol }}true{{ end }}
{{- end }}

{{/* Whether the operator logs in to the brokers with OAUTHBEARER tokens. */}}
{{- define "mljob-operator.kafkaOauth" -}}
{{- if and (include "mljob-operator.kafkaSasl" .) (eq .Values.kafka.sasl.mechanism "OAUTHBEARER") }}true{{ end }}
{{- end }}
