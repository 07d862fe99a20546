{{/* The parts that the Pods of the operator and of mljob-api have in common. */}}

{{/* Fields of the Pod's spec from the values of the container and the Pod. */}}
{{- define "mljob-operator.podFields" -}}
automountServiceAccountToken: true
{{- range $field := list "imagePullSecrets" "nodeSelector" "affinity" "tolerations" }}
{{- with get $.Values $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- end }}

{{/*
The probes of a container. Argument: a list of the chart's context and the name of the port. The other
probes start after the first successful startup probe.
*/}}
{{- define "mljob-operator.probes" -}}
{{- $root := index . 0 }}
{{- $port := index . 1 }}
startupProbe:
  httpGet:
    path: /livez
    port: {{ $port }}
  periodSeconds: {{ $root.Values.startupProbe.periodSeconds }}
  timeoutSeconds: 5
  failureThreshold: {{ $root.Values.startupProbe.failureThreshold }}
livenessProbe:
  httpGet:
    path: /livez
    port: {{ $port }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ $port }}
  periodSeconds: 5
  timeoutSeconds: 5
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
