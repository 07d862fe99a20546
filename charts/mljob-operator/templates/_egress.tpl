{{/* Outgoing connections, as rules of a NetworkPolicy. */}}

{{/* A rule. Argument: a list of the peers, the ports and the protocols. */}}
{{- define "mljob-operator.egressRule" -}}
{{- $ports := list }}
{{- range $port := index . 1 }}
{{- range $protocol := index $ 2 }}
{{- $ports = append $ports (dict "port" (int $port) "protocol" $protocol) }}
{{- end }}
{{- end }}
{{- $rule := dict }}
{{- with $ports }}{{ $_ := set $rule "ports" . }}{{ end }}
{{- with index . 0 }}{{ $_ := set $rule "to" . }}{{ end }}
{{- list $rule | toYaml }}
{{- end }}

{{/* To DNS and to the Kubernetes API. */}}
{{- define "mljob-operator.egressToCluster" -}}
{{- with .Values.networkPolicy.egress }}
{{- include "mljob-operator.egressRule" (list .dns.to .dns.ports (list "UDP" "TCP")) }}
{{ include "mljob-operator.egressRule" (list .kubernetesApi.to .kubernetesApi.ports (list "TCP")) }}
{{- end }}
{{- end }}

{{/* The port of a URL. Argument: the URL. */}}
{{- define "mljob-operator.urlPort" -}}
{{- regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" | default (ternary "443" "80" (hasPrefix "https://" .)) }}
{{- end }}

{{/*
The ports of airflow.url, of kafka.bootstrapServers and of operator.tracesEndpoint, as YAML:
{airflow: [...], kafka: [...], traces: [...]}.
*/}}
{{- define "mljob-operator.egressPorts" -}}
{{- $airflow := .Values.networkPolicy.egress.airflow.ports }}
{{- if and (not $airflow) .Values.airflow.url }}
{{- $airflow = list (include "mljob-operator.urlPort" .Values.airflow.url | int) }}
{{- end }}
{{- $traces := .Values.networkPolicy.egress.traces.ports }}
{{- if and (not $traces) .Values.operator.tracesEndpoint }}
{{- $traces = list (include "mljob-operator.urlPort" .Values.operator.tracesEndpoint | int) }}
{{- end }}
{{- $kafka := .Values.networkPolicy.egress.kafka.ports }}
{{- if not $kafka }}
{{- range splitList "," .Values.kafka.bootstrapServers }}
{{- with regexFind "[0-9]+$" . }}{{ $kafka = append $kafka (int .) }}{{ end }}
{{- end }}
{{- end }}
{{- dict "airflow" $airflow "kafka" (uniq $kafka) "traces" $traces | toYaml }}
{{- end }}

{{/* To the receiver of traces, for the operator. */}}
{{- define "mljob-operator.egressToTraces" -}}
{{- if .Values.operator.tracesEndpoint }}
{{- include "mljob-operator.egressRule" (list .Values.networkPolicy.egress.traces.to (include "mljob-operator.egressPorts" . | fromYaml).traces (list "TCP")) }}
{{- end }}
{{- end }}

{{/* To all that the operator and mljob-api need. */}}
{{- define "mljob-operator.egress" -}}
{{- $ports := include "mljob-operator.egressPorts" . | fromYaml }}
{{- include "mljob-operator.egressToCluster" . }}
{{- with .Values.networkPolicy.egress }}
{{ include "mljob-operator.egressRule" (list .airflow.to $ports.airflow (list "TCP")) }}
{{- if $.Values.kafka.bootstrapServers }}
{{ include "mljob-operator.egressRule" (list .kafka.to $ports.kafka (list "TCP")) }}
{{- end }}
{{- with .extra }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
