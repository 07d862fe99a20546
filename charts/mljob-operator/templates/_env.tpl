{{/*
The operator's settings: every value which it understands, as its environment. What is not set is left out,
so that the operator's own default holds.
*/}}
{{- define "mljob-operator.ownEnv" -}}
- name: MLJOB_AIRFLOW_INSTANCES
  value: {{ include "mljob-operator.instances" . | eq "true" | quote }}
- name: MLJOB_CREDENTIALS_NAMESPACE
  value: {{ .Release.Namespace | quote }}
{{- with .Values.airflow }}
{{- with .url }}
- name: MLJOB_AIRFLOW_URL
  value: {{ . | quote }}
{{- end }}
{{- with .uiUrl }}
- name: MLJOB_AIRFLOW_UI_URL
  value: {{ . | quote }}
{{- end }}
{{- if .existingSecret }}
{{- if eq .auth "Token" }}
{{ include "mljob-operator.secretEnv" (list "MLJOB_AIRFLOW_TOKEN" .existingSecret .secretKeys.token) }}
{{- else if eq .auth "TokenFile" }}
- name: MLJOB_AIRFLOW_TOKEN_FILE
  value: /etc/mljob-operator/airflow-token/token
{{- else if eq .auth "OAuth2" }}
{{ include "mljob-operator.secretEnv" (list "MLJOB_AIRFLOW_OAUTH2_CLIENT_ID" .existingSecret .secretKeys.clientId) }}
{{ include "mljob-operator.secretEnv" (list "MLJOB_AIRFLOW_OAUTH2_CLIENT_SECRET" .existingSecret .secretKeys.clientSecret) }}
{{- else }}
{{ include "mljob-operator.secretEnv" (list "MLJOB_AIRFLOW_USER" .existingSecret .secretKeys.user) }}
{{ include "mljob-operator.secretEnv" (list "MLJOB_AIRFLOW_PASSWORD" .existingSecret .secretKeys.password) }}
{{- end }}
{{- end }}
{{- if eq .auth "OAuth2" }}
{{- with .oauth2.tokenUrl }}
- name: MLJOB_AIRFLOW_OAUTH2_TOKEN_URL
  value: {{ . | quote }}
{{- end }}
{{- with .oauth2.scopes }}
- name: MLJOB_AIRFLOW_OAUTH2_SCOPES
  value: {{ join " " . | quote }}
{{- end }}
{{- with .oauth2.audience }}
- name: MLJOB_AIRFLOW_OAUTH2_AUDIENCE
  value: {{ . | quote }}
{{- end }}
- name: MLJOB_AIRFLOW_OAUTH2_CLIENT_AUTHENTICATION
  value: {{ .oauth2.clientAuthentication | quote }}
{{- end }}
{{- if .headers.existingSecret }}
- name: MLJOB_AIRFLOW_HEADERS_DIR
  value: /etc/mljob-operator/airflow-headers
{{- end }}
{{- if kindIs "slice" .access }}
- name: MLJOB_AIRFLOW_ACCESS
  value: {{ toJson .access | quote }}
{{- end }}
{{- with .acceptVanishedRunsBefore }}
- name: MLJOB_AIRFLOW_ACCEPT_VANISHED_RUNS_BEFORE
  value: {{ . | quote }}
{{- end }}
{{- with .reservedDags }}
- name: MLJOB_RESERVED_DAGS
  value: {{ join "," . | quote }}
{{- end }}
{{- if .tls.ca.existingSecret }}
- name: MLJOB_AIRFLOW_CA_FILE
  value: /etc/mljob-operator/airflow-ca/ca.crt
{{- end }}
- name: MLJOB_CANCEL_DAG_ID
  value: {{ .cancelDagId | quote }}
- name: MLJOB_CANCEL_FALLBACK_SECONDS
  value: {{ .cancelFallbackSeconds | quote }}
{{- end }}
{{- with .Values.airflowInstances.tokenFiles }}
- name: MLJOB_AIRFLOW_TOKEN_FILES
  value: {{ . | quote }}
{{- end }}
- name: MLJOB_KAFKA_BOOTSTRAP_SERVERS
  value: {{ .Values.kafka.bootstrapServers | quote }}
{{- if .Values.kafka.bootstrapServers }}
{{- with .Values.kafka }}
- name: MLJOB_EVENTS_TOPIC
  value: {{ .eventsTopic | quote }}
- name: MLJOB_KAFKA_GROUP_ID
  value: {{ .groupId | quote }}
{{- with .deadLetterTopic }}
- name: MLJOB_DEAD_LETTER_TOPIC
  value: {{ . | quote }}
{{- end }}
- name: MLJOB_KAFKA_SECURITY_PROTOCOL
  value: {{ .securityProtocol | quote }}
{{- if include "mljob-operator.kafkaSasl" $ }}
- name: MLJOB_KAFKA_SASL_MECHANISM
  value: {{ .sasl.mechanism | quote }}
{{- if eq .sasl.mechanism "OAUTHBEARER" }}
{{- include "mljob-operator.oauthEnv" .sasl | nindent 0 }}
{{- else }}
{{- if .sasl.username }}
- name: MLJOB_KAFKA_SASL_USERNAME
  value: {{ .sasl.username | quote }}
{{- else }}
{{ include "mljob-operator.secretEnv" (list "MLJOB_KAFKA_SASL_USERNAME" .sasl.existingSecret .sasl.usernameKey) }}
{{- end }}
{{ include "mljob-operator.secretEnv" (list "MLJOB_KAFKA_SASL_PASSWORD" .sasl.existingSecret .sasl.passwordKey) }}
{{- end }}
{{- end }}
{{- if .tls.ca.existingSecret }}
- name: MLJOB_KAFKA_SSL_CA_FILE
  value: /etc/mljob-operator/kafka-ca/ca.crt
{{- end }}
{{- if .tls.client.existingSecret }}
- name: MLJOB_KAFKA_SSL_CERTIFICATE_FILE
  value: /etc/mljob-operator/kafka-client/tls.crt
- name: MLJOB_KAFKA_SSL_KEY_FILE
  value: /etc/mljob-operator/kafka-client/tls.key
{{- with .tls.client.privateKeyPasswordKey }}
{{ include "mljob-operator.secretEnv" (list "MLJOB_KAFKA_SSL_KEY_PASSWORD" $.Values.kafka.tls.client.existingSecret .) }}
{{- end }}
{{- end }}
{{- with .extraConfig }}
- name: MLJOB_KAFKA_EXTRA_CONFIG
  value: {{ toJson . | quote }}
{{- end }}
{{- if .extraConfigSecret.existingSecret }}
- name: MLJOB_KAFKA_EXTRA_CONFIG_FILE
  value: /etc/mljob-operator/kafka-extra/kafka.properties
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.operator }}
- name: MLJOB_NAMESPACES
  value: {{ join "," .namespaces | quote }}
- name: MLJOB_RUN_ID_PREFIX
  value: {{ .runIdPrefix | quote }}
- name: MLJOB_RESYNC_INTERVAL_SECONDS
  value: {{ .resyncIntervalSeconds | quote }}
- name: MLJOB_ORPHANED_RUNS
  value: {{ .orphanedRuns | quote }}
- name: MLJOB_STATUS_INTERVAL_SECONDS
  value: {{ .statusIntervalSeconds | quote }}
- name: MLJOB_LOG_FORMAT
  value: {{ .logFormat | quote }}
- name: MLJOB_LOG_LEVEL
  value: {{ .logLevel | quote }}
{{- end }}
- name: MLJOB_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: MLJOB_POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: MLJOB_HTTP_HOST
  value: {{ .Values.operator.httpHost | quote }}
- name: MLJOB_HTTP_PORT
  value: "8080"
{{- end }}

{{/* These, and extraEnv, which wins: a name that is there twice would be refused by the API server (server-side apply), or by Helm. */}}
{{- define "mljob-operator.env" -}}
{{- $extra := dict }}
{{- range .Values.extraEnv }}
{{- $_ := set $extra .name . }}
{{- end }}
{{- $env := list }}
{{- range include "mljob-operator.ownEnv" . | fromYamlArray }}
{{- if not (hasKey $extra .name) }}
{{- $env = append $env . }}
{{- end }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if hasKey $extra .name }}
{{- $env = append $env (get $extra .name) }}
{{- $_ := unset $extra .name }}
{{- end }}
{{- end }}
{{- toYaml $env }}
{{- end }}

{{/* How tokens for OAUTHBEARER are had; of kafka.sasl. */}}
{{- define "mljob-operator.oauthEnv" -}}
- name: MLJOB_KAFKA_OAUTH_METHOD
  value: {{ .oauth.method | quote }}
{{- if eq .oauth.method "OIDC" }}
- name: MLJOB_KAFKA_OIDC_TOKEN_ENDPOINT
  value: {{ .oauth.oidc.tokenEndpoint | quote }}
{{- if .oauth.oidc.clientId }}
- name: MLJOB_KAFKA_OIDC_CLIENT_ID
  value: {{ .oauth.oidc.clientId | quote }}
{{- else }}
{{ include "mljob-operator.secretEnv" (list "MLJOB_KAFKA_OIDC_CLIENT_ID" .existingSecret .oauth.oidc.clientIdKey) }}
{{- end }}
{{ include "mljob-operator.secretEnv" (list "MLJOB_KAFKA_OIDC_CLIENT_SECRET" .existingSecret .oauth.oidc.clientSecretKey) }}
{{- with .oauth.oidc.scope }}
- name: MLJOB_KAFKA_OIDC_SCOPE
  value: {{ . | quote }}
{{- end }}
{{- with .oauth.oidc.extensions }}
- name: MLJOB_KAFKA_OIDC_EXTENSIONS
  value: {{ . | quote }}
{{- end }}
{{- if .oauth.oidc.ca.existingSecret }}
- name: MLJOB_KAFKA_OIDC_CA_FILE
  value: /etc/mljob-operator/oidc-ca/ca.crt
{{- end }}
{{- else }}
- name: MLJOB_KAFKA_AWS_REGION
  value: {{ .oauth.awsRegion | quote }}
{{- end }}
{{- end }}

{{/* One variable from a Secret: (name, Secret, key). A missing key keeps the container from starting, and its Pod says so. */}}
{{- define "mljob-operator.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end }}

{{/*
Volumes with what the operator reads from files, at /etc/mljob-operator/<volume>. Whole volumes, not sub-paths, so that
a renewed certificate arrives without a restart of the Pod.
*/}}
{{- define "mljob-operator.secretVolumes" -}}
{{- $volumes := list }}
{{- with .Values.airflow.tls.ca }}
{{- if .existingSecret }}
{{- $volumes = append $volumes (dict "name" "airflow-ca" "secret" .existingSecret "items" (list (dict "key" .key "path" "ca.crt"))) }}
{{- end }}
{{- end }}
{{- with .Values.airflow }}
{{- if and .existingSecret (eq .auth "TokenFile") }}
{{- $volumes = append $volumes (dict "name" "airflow-token" "secret" .existingSecret "items" (list (dict "key" .secretKeys.token "path" "token"))) }}
{{- end }}
{{- with .headers.existingSecret }}
{{- $volumes = append $volumes (dict "name" "airflow-headers" "secret" .) }}
{{- end }}
{{- end }}
{{- if .Values.kafka.bootstrapServers }}
{{- with .Values.kafka.tls.ca }}
{{- if .existingSecret }}
{{- $volumes = append $volumes (dict "name" "kafka-ca" "secret" .existingSecret "items" (list (dict "key" .key "path" "ca.crt"))) }}
{{- end }}
{{- end }}
{{- with .Values.kafka.tls.client }}
{{- if .existingSecret }}
{{- $volumes = append $volumes (dict "name" "kafka-client" "secret" .existingSecret "items" (list (dict "key" .certificateKey "path" "tls.crt") (dict "key" .privateKeyKey "path" "tls.key"))) }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.kafka.bootstrapServers }}
{{- with .Values.kafka.sasl.oauth.oidc.ca }}
{{- if and .existingSecret (include "mljob-operator.kafkaOidc" $) }}
{{- $volumes = append $volumes (dict "name" "oidc-ca" "secret" .existingSecret "items" (list (dict "key" .key "path" "ca.crt"))) }}
{{- end }}
{{- end }}
{{- with .Values.kafka.extraConfigSecret }}
{{- if .existingSecret }}
{{- $volumes = append $volumes (dict "name" "kafka-extra" "secret" .existingSecret "items" (list (dict "key" .key "path" "kafka.properties"))) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml (dict "volumes" $volumes) }}
{{- end }}
