{{/*
The operator's settings as environment variables, from the values. A value that is not set has no
variable, so that the operator's own default applies.
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
{{- if .selector }}
- name: MLJOB_SELECTOR
  value: {{ toJson .selector | quote }}
{{- end }}
- name: MLJOB_LEASE_NAME
  value: {{ include "mljob-operator.fullname" $ | quote }}
- name: MLJOB_LEASE_SECONDS
  value: {{ .leaseSeconds | quote }}
- name: MLJOB_RUN_ID_PREFIX
  value: {{ .runIdPrefix | quote }}
- name: MLJOB_RESYNC_INTERVAL_SECONDS
  value: {{ .resyncIntervalSeconds | quote }}
- name: MLJOB_ORPHANED_RUNS
  value: {{ .orphanedRuns | quote }}
- name: MLJOB_STATUS_INTERVAL_SECONDS
  value: {{ .statusIntervalSeconds | quote }}
{{- if .tracesEndpoint }}
- name: MLJOB_TRACES_ENDPOINT
  value: {{ .tracesEndpoint | quote }}
{{- end }}
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

{{/* The operator's environment: ownEnv and extraEnv. */}}
{{- define "mljob-operator.env" -}}
{{- include "mljob-operator.mergedEnv" (list (include "mljob-operator.ownEnv" .) .Values.extraEnv) }}
{{- end }}

{{/*
Variables of the chart, as YAML, and further ones, which override them. Argument: a list of both. Each
name occurs once: server-side apply, which Helm 4 uses, refuses a list with a name twice.
*/}}
{{- define "mljob-operator.mergedEnv" -}}
{{- $further := index . 1 }}
{{- $extra := dict }}
{{- range $further }}
{{- $_ := set $extra .name . }}
{{- end }}
{{- $env := list }}
{{- range index . 0 | fromYamlArray }}
{{- if not (hasKey $extra .name) }}
{{- $env = append $env . }}
{{- end }}
{{- end }}
{{- range $further }}
{{- if hasKey $extra .name }}
{{- $env = append $env (get $extra .name) }}
{{- $_ := unset $extra .name }}
{{- end }}
{{- end }}
{{- toYaml $env }}
{{- end }}

{{/* The settings for OAUTHBEARER tokens. Argument: kafka.sasl. */}}
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

{{/*
A variable from a Secret. Argument: a list of the name, the Secret and the key. If the key is missing,
the container does not start, and an Event of the Pod names the key.
*/}}
{{- define "mljob-operator.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end }}

{{/*
The Secrets that are mounted as volumes, each at /etc/mljob-operator/<volume>, as YAML:
volumes: [{name, secret, items}]. They are whole volumes instead of sub-paths, so that a renewed
certificate reaches the running Pod.
*/}}
{{- define "mljob-operator.secretVolumes" -}}
{{- $airflow := .Values.airflow }}
{{- $kafka := .Values.kafka }}
{{- $wanted := list
  (list "airflow-ca" $airflow.tls.ca.existingSecret (dict "ca.crt" $airflow.tls.ca.key))
  (list "airflow-token" (ternary $airflow.existingSecret "" (eq $airflow.auth "TokenFile")) (dict "token" $airflow.secretKeys.token))
  (list "airflow-headers" $airflow.headers.existingSecret dict) }}
{{- if $kafka.bootstrapServers }}
{{- $usesOidc := and (include "mljob-operator.kafkaOauth" . | eq "true") (eq $kafka.sasl.oauth.method "OIDC") }}
{{- $wanted = concat $wanted (list
  (list "kafka-ca" $kafka.tls.ca.existingSecret (dict "ca.crt" $kafka.tls.ca.key))
  (list "kafka-client" $kafka.tls.client.existingSecret (dict "tls.crt" $kafka.tls.client.certificateKey "tls.key" $kafka.tls.client.privateKeyKey))
  (list "oidc-ca" (ternary $kafka.sasl.oauth.oidc.ca.existingSecret "" $usesOidc) (dict "ca.crt" $kafka.sasl.oauth.oidc.ca.key))
  (list "kafka-extra" $kafka.extraConfigSecret.existingSecret (dict "kafka.properties" $kafka.extraConfigSecret.key))) }}
{{- end }}
{{- $volumes := list }}
{{- range $wanted }}
{{- if index . 1 }}
{{- $items := list }}
{{- range $path, $key := index . 2 }}
{{- $items = append $items (dict "key" $key "path" $path) }}
{{- end }}
{{- $volumes = append $volumes (dict "name" (index . 0) "secret" (index . 1) "items" $items) }}
{{- end }}
{{- end }}
{{- toYaml (dict "volumes" $volumes) }}
{{- end }}
