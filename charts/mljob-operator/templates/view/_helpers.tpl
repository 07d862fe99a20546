{{/* Names, labels and the image of the live view. */}}

{{- define "mljob-operator.view.fullname" -}}
{{- include "mljob-operator.fullname" . | trunc 58 | trimSuffix "-" }}-view
{{- end }}

{{- define "mljob-operator.view.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mljob-operator.name" . | trunc 58 | trimSuffix "-" }}-view
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mljob-operator.view.labels" -}}
{{ merge (include "mljob-operator.view.selectorLabels" . | fromYaml) (include "mljob-operator.labels" . | fromYaml) | toYaml }}
{{- end }}

{{- define "mljob-operator.view.ownEnv" -}}
- name: MLJOB_VIEW_HOST
  value: {{ .Values.operator.httpHost | quote }}
- name: MLJOB_VIEW_PORT
  value: "8080"
- name: MLJOB_VIEW_HOSTS
  value: {{ join "," .Values.view.hosts | quote }}
- name: MLJOB_VIEW_CA_FILE
  value: /etc/mljob-view/ca.crt
{{- end }}

{{- define "mljob-operator.view.image" -}}
{{- with .Values.view.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end }}
{{- end }}
{{- end }}
