{{/* What files/monitoring/alerts.yaml can't have: it is a file of rules for Prometheus, not a template. */}}

{{/* The label job that the alerts select. */}}
{{- define "mljob-operator.alertsJob" -}}
{{- .Values.prometheusRule.job | default (include "mljob-operator.scrapeJob" (dict "root" . "name" (include "mljob-operator.fullname" .))) }}
{{- end }}

{{/*
The numbers in the alerts' expressions that depend on values. For each alert, the text in alerts.yaml, which is for the
default values, and its replacement. Late is more than twice the pause between two patches of a status: the histograms'
buckets are no wider, so a pause never counts as late. Old is a feed of which two reads in a row are missing.
*/}}
{{- define "mljob-operator.alertNumbers" -}}
{{- $late := .Values.operator.statusIntervalSeconds | mulf 2 | maxf 5 }}
{{- $old := .Values.operator.resyncIntervalSeconds | mulf 3 }}
MLJobAirflowUnreadable: {"[300s]": "[{{ maxf 300 $old | ceil }}s]"}
MLJobFeedOld: {"> 120": "> {{ maxf 120 $old }}"}
MLJobStatusesNotWritten: {"> 1000": "> {{ .Values.operator.statusIntervalSeconds | mulf 1000 | maxf 1000 }}"}
MLJobStatusesLate: {"> 5": "> {{ $late }}"}
MLJobWritesLate: {"> 5": "> {{ $late }}"}
{{- end }}
