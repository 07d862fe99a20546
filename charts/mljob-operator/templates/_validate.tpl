{{/*
Checks that values.schema.json can't express, or only with a message that does not help. Each message
names the value, the cause and the way out.
*/}}
{{- define "mljob-operator.validate" -}}

{{- $fullname := include "mljob-operator.fullname" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) }}
{{- fail (printf "the objects of release %s would have the name %s, which Kubernetes refuses for a Service: set a name of lower-case letters, digits and hyphens that begins with a letter, for example --set fullnameOverride=mljob-operator" .Release.Name $fullname) }}
{{- end }}

{{- if not .Values.image.repository }}
{{- fail (printf "image.repository is not set, and only a released chart names an image: install that one (oci://...), or build an image from the repository (docker build -t registry.example.com/mljob-operator:%s .), push it, and set its name, for example --set image.repository=registry.example.com/mljob-operator" .Chart.AppVersion) }}
{{- end }}

{{- if .Values.view.enabled }}
{{- if not .Values.view.image.repository }}
{{- fail (printf "view.enabled is true, but view.image.repository is not set, and only a released chart names an image: install that one (oci://...), or build an image from the repository (docker build --target view -t registry.example.com/mljob-view:%s .), push it, and set its name" .Chart.AppVersion) }}
{{- end }}
{{- if not .Values.view.hosts }}
{{- fail "view.enabled is true, but view.hosts is empty, so the view would refuse every request: set the host names under which people open it, for example --set view.hosts={mljobs.example.com}" }}
{{- end }}
{{- end }}

{{- $url := .Values.airflow.url }}
{{- if not (or $url (include "mljob-operator.instances" .)) }}
{{- fail "airflow.url is not set, and AirflowInstances are disabled, so there is no Airflow to run in: set the base URL of Airflow's API server as Pods of this cluster reach it, for example --set airflow.url=http://airflow-api-server.airflow:8080, or enable AirflowInstances with --set airflowInstances.enabled=true" }}
{{- end }}
{{- if and .Values.airflow.existingSecret (not $url) }}
{{- fail "airflow.existingSecret is set, but airflow.url is not: set airflow.url, or remove the Secret. An AirflowInstance names its Secret in spec.credentials" }}
{{- end }}
{{- if and (kindIs "slice" .Values.airflow.access) (not $url) }}
{{- fail "airflow.access is set, but airflow.url is not: set airflow.url, or remove the rules. An AirflowInstance has its access rules in spec.access" }}
{{- end }}
{{- range .Values.airflow.access }}
{{- if and (hasKey . "credentials") (not (include "mljob-operator.instances" $)) }}
{{- fail "airflow.access has a rule with credentials, but the operator may not read Secrets while AirflowInstances are disabled: set airflowInstances.enabled to true, or remove the credentials" }}
{{- end }}
{{- end }}
{{- if regexMatch "/api(/v[0-9]+)?/?$" $url }}
{{- fail (printf "airflow.url is %s: leave out /api and everything after it, the operator adds this path" $url) }}
{{- end }}
{{- if regexMatch "^https?://[^/]*@" $url }}
{{- fail "airflow.url contains credentials, which everyone who can read Deployments would see: put them into a Secret and name the Secret in airflow.existingSecret" }}
{{- end }}
{{- if and .Values.airflow.tls.ca.existingSecret (not (hasPrefix "https://" $url)) }}
{{- fail (printf "airflow.tls.ca.existingSecret is set, but airflow.url is %s: use an https:// URL, or remove the Secret" $url) }}
{{- end }}

{{- if eq .Values.kafka.deadLetterTopic .Values.kafka.eventsTopic }}
{{- fail (printf "kafka.deadLetterTopic is %s, the topic of the events, so the operator would read the messages again that it can't read: set another topic" .Values.kafka.deadLetterTopic) }}
{{- end }}
{{- $protocol := .Values.kafka.securityProtocol }}
{{- $sasl := include "mljob-operator.kafkaSasl" . }}
{{- $oauthbearer := include "mljob-operator.kafkaOauth" . }}
{{- $oauth := .Values.kafka.sasl.oauth }}
{{- $msk := and $oauthbearer (eq $oauth.method "MSK_IAM") }}
{{- if and $sasl (not $msk) (not .Values.kafka.sasl.existingSecret) }}
{{- fail (printf "kafka.securityProtocol is %s, but kafka.sasl.existingSecret is not set: name the Secret with the password" $protocol) }}
{{- end }}
{{- if and .Values.kafka.sasl.existingSecret (not $sasl) }}
{{- fail (printf "kafka.sasl.existingSecret is set, but kafka.securityProtocol is %s: set it to SASL_SSL or SASL_PLAINTEXT, or remove the Secret" $protocol) }}
{{- end }}
{{- if and $oauthbearer (not $oauth.method) }}
{{- fail "kafka.sasl.mechanism is OAUTHBEARER, but kafka.sasl.oauth.method is not set: set it to OIDC or MSK_IAM, the source of the tokens" }}
{{- end }}
{{- if and $oauth.method (not $oauthbearer) }}
{{- fail (printf "kafka.sasl.oauth.method is %s, but kafka.securityProtocol is %s and kafka.sasl.mechanism %s: set them to SASL_SSL and OAUTHBEARER, or remove the method" $oauth.method $protocol .Values.kafka.sasl.mechanism) }}
{{- end }}
{{- if and (eq $oauth.method "OIDC") (not $oauth.oidc.tokenEndpoint) }}
{{- fail "kafka.sasl.oauth.method is OIDC, but kafka.sasl.oauth.oidc.tokenEndpoint is not set: set it to the URL of the provider's token endpoint" }}
{{- end }}
{{- if and (eq $oauth.method "MSK_IAM") (not $oauth.awsRegion) }}
{{- fail "kafka.sasl.oauth.method is MSK_IAM, but kafka.sasl.oauth.awsRegion is not set: set it to the AWS region of the brokers, for example eu-west-1" }}
{{- end }}
{{- range $name, $_ := .Values.kafka.extraConfig }}
{{- if regexMatch "password|secret|passphrase|key\\.pem$" $name }}
{{- fail (printf "kafka.extraConfig has %s, which everyone who can read Deployments would see: put it into a Secret and name the Secret in kafka.extraConfigSecret.existingSecret" $name) }}
{{- end }}
{{- end }}
{{- if and .Values.kafka.tls.client.privateKeyPasswordKey (not .Values.kafka.tls.client.existingSecret) }}
{{- fail "kafka.tls.client.privateKeyPasswordKey is set, but kafka.tls.client.existingSecret is not: name the Secret with the private key and its password" }}
{{- end }}
{{- range $part := list "ca" "client" }}
{{- if and (index $.Values.kafka.tls $part "existingSecret") (not (include "mljob-operator.kafkaTls" $)) }}
{{- fail (printf "kafka.tls.%s.existingSecret is set, but kafka.securityProtocol is %s: set it to SSL or SASL_SSL, or remove the Secret" $part $protocol) }}
{{- end }}
{{- end }}

{{- if .Values.networkPolicy.egress.restrict }}
{{- if not .Values.networkPolicy.create }}
{{- fail "networkPolicy.egress.restrict is true, but networkPolicy.create is not, so the operator could connect to every address: set networkPolicy.create to true, or remove networkPolicy.egress.restrict" }}
{{- end }}
{{- if not (or (include "mljob-operator.egressPorts" . | fromYaml).airflow .Values.networkPolicy.egress.airflow.to) }}
{{- fail "networkPolicy.egress.restrict is true, but neither airflow.url nor networkPolicy.egress.airflow says where Airflow is, so every connection would be allowed: set networkPolicy.egress.airflow.ports to the ports of your AirflowInstances, for example {8080,443}" }}
{{- end }}
{{- end }}

{{- if .Values.api.enabled }}
{{- $tls := .Values.api.tls }}
{{- if and $tls.existingSecret $tls.certManager.issuer }}
{{- fail "api.tls.existingSecret and api.tls.certManager.issuer are both set: remove the Secret to have cert-manager sign the certificate of mljob-api, or remove the issuer" }}
{{- end }}
{{- if and $tls.existingSecret .Values.api.apiService.create (not $tls.caBundle) }}
{{- fail "api.tls.existingSecret is set, but api.tls.caBundle is not, so the control plane would not trust the certificate of mljob-api: set it to the CA certificates (PEM), for example --set-file api.tls.caBundle=ca.crt" }}
{{- end }}
{{- if and $tls.caBundle (not $tls.existingSecret) }}
{{- fail "api.tls.caBundle is set, but api.tls.existingSecret is not: name the Secret with the certificate that this CA signed, or remove the CA" }}
{{- end }}
{{- if has (int .Values.api.port) (list 8081) }}
{{- fail "api.port is 8081, the port of the probes of mljob-api: set another port" }}
{{- end }}
{{- if eq (int .Values.service.port) 443 }}
{{- fail "service.port is 443, but api.enabled is true, and the Service of mljob-api serves the API on this port: set another port for /metrics" }}
{{- end }}
{{- end }}

{{- if and .Values.prometheusRule.enabled (not (or .Values.prometheusRule.job .Values.serviceMonitor.enabled)) }}
{{- fail "prometheusRule.enabled is true, but neither prometheusRule.job nor serviceMonitor.enabled says which metrics the alerts select: set prometheusRule.job to the label job of your own scrape, or serviceMonitor.enabled to true" }}
{{- end }}

{{- if and (eq .Values.service.ipFamilyPolicy "SingleStack") (gt (len .Values.service.ipFamilies) 1) }}
{{- fail "service.ipFamilyPolicy is SingleStack, but service.ipFamilies has two families: set PreferDualStack or RequireDualStack, or remove a family" }}
{{- end }}

{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create is false, but serviceAccount.name is not set: name the ServiceAccount that the operator runs as" }}
{{- end }}
{{- end }}

{{/*
A Deployment, unless the API server would refuse its Pods for their values: that would end an upgrade
halfway. Argument: the Deployment as YAML. Result: the same YAML.
*/}}
{{- define "mljob-operator.checkedDeployment" -}}
{{- $deployment := fromYaml . }}
{{- $name := $deployment.metadata.name }}
{{- $pod := $deployment.spec.template.spec }}
{{- $mounts := (first $pod.containers).volumeMounts }}
{{- range $list := list
  (list "extraVolumes" "name" $pod.volumes)
  (list "extraVolumeMounts" "mountPath" $mounts)
  (list "extraContainers or initContainers" "name" (concat $pod.containers (get $pod "initContainers" | default list))) }}
{{- $key := index $list 1 }}
{{- $seen := list }}
{{- range index $list 2 }}
{{- if has (get . $key) $seen }}
{{- fail (printf "%s has the %s %s, which occurs twice in the Pods of Deployment %s: set another %s" (index $list 0) $key (get . $key) $name $key) }}
{{- end }}
{{- $seen = append $seen (get . $key) }}
{{- end }}
{{- end }}
{{- $volumes := list }}
{{- range $pod.volumes }}{{ $volumes = append $volumes .name }}{{ end }}
{{- range $mounts }}
{{- if not (has .name $volumes) }}
{{- fail (printf "extraVolumeMounts names the volume %s, which the Pods of Deployment %s do not have: add the volume to extraVolumes" .name $name) }}
{{- end }}
{{- end }}
{{- if and (eq $pod.dnsPolicy "None") (not (dig "dnsConfig" "nameservers" list $pod)) }}
{{- fail (printf "dnsPolicy of the Pods of Deployment %s is None, but dnsConfig has no nameservers: set dnsConfig.nameservers, or another policy" $name) }}
{{- end }}
{{- . }}
{{- end }}
