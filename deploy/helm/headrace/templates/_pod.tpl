{{/* Parts that all pods have alike. */}}

{{- define "headrace.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "headrace.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "headrace.container" -}}
image: {{ include "headrace.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{ include "headrace.containerSecurity" . }}
{{- end -}}

{{/* dict "root" $ "component" c "values" .Values.x: where its pods may stand. */}}
{{- define "headrace.placing" -}}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .root.Values.topologySpread }}
topologySpreadConstraints:
  {{- $selector := include "headrace.selector" . }}
  {{- range .root.Values.topologySpread }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* A volume with files of Secrets: dict "files" (list of dict "secret" {name, key} "path" p). The image's entry point
     makes a setting of each /run/secrets/HEADRACE_*, so that no secret stands in a pod's description. */}}
{{- define "headrace.secretVolume" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range .files }}
      - secret:
          name: {{ .secret.name }}
          items:
            - {key: {{ .secret.key | quote }}, path: {{ .path | quote }}}
      {{- end }}
{{- end -}}

{{- define "headrace.commonVolumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- end -}}

{{- define "headrace.commonMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /run/secrets, readOnly: true}
{{- end -}}

{{- define "headrace.egressVolume" -}}
- name: egress
  configMap:
    name: {{ include "headrace.name" . }}-egress
{{- end -}}

{{/* A certificate of the type kubernetes.io/tls, with its authority. */}}
{{- define "headrace.tlsVolume" -}}
- name: tls
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      {{- range .keys }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end -}}

{{/* A whole number is written out: toString makes 1e+06 of a million. */}}
{{- define "headrace.setting" }}
- name: {{ .name }}
  value: {{ and (kindIs "float64" .value) (eq (floor .value) .value) | ternary (printf "%.0f" (float64 .value)) (toString .value) | quote }}
{{- end -}}

{{/* What all services have to be told alike, and a service's own settings. */}}
{{- define "headrace.commonEnv" -}}
{{- include "headrace.setting" (dict "name" "HEADRACE_PARTITIONS" "value" .root.Values.partitions) }}
{{- with .root.Values.busNamespace }}
{{- include "headrace.setting" (dict "name" "HEADRACE_BUS_NAMESPACE" "value" .) }}
{{- end }}
{{- with .root.Values.tracesEndpoint }}
{{- include "headrace.setting" (dict "name" "OTEL_EXPORTER_OTLP_ENDPOINT" "value" .) }}
{{- end }}
{{- include "headrace.setting" (dict "name" "HEADRACE_LOG_LEVEL" "value" .root.Values.logLevel) }}
{{- include "headrace.setting" (dict "name" "HEADRACE_DRAIN_SECONDS" "value" .values.drainSeconds) }}
{{- range $name, $value := .values.settings }}
{{- include "headrace.setting" (dict "name" $name "value" $value) }}
{{- end }}
{{- end -}}

{{/* dict "port" p "readiness" path. No probe restarts a container because something else is away, not at its start either:
     it answers on /health once it has reached the database and the broker, and ends by itself where it does not. */}}
{{- define "headrace.healthProbes" -}}
startupProbe:
  httpGet: {path: /health, port: {{ .port }}}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 150
livenessProbe:
  httpGet: {path: /health, port: {{ .port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: {{ .readiness }}, port: {{ .port }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}
