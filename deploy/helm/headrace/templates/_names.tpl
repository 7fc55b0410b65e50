{{- define "headrace.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "headrace.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What selects the pods of a component: dict "root" $ "component" "runner". Never changed: selectors are immutable. */}}
{{- define "headrace.selector" -}}
app.kubernetes.io/name: headrace
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "headrace.labels" -}}
{{ include "headrace.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* dict "root" $ "component" c, with "name" where it is another, and "most" where a kind bounds its name further than 253. */}}
{{- define "headrace.metadata" -}}
{{- $name := printf "%s-%s" (include "headrace.name" .root) (.name | default .component) }}
{{- if and .most (gt (len $name) (int .most)) }}
{{- fail (printf "%s has %d characters, and may have %d: shorten fullnameOverride, or the last part" $name (len $name) (int .most)) }}
{{- end -}}
name: {{ $name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "headrace.labels" . | nindent 2 }}
{{- end -}}

{{- define "headrace.internalUrl" -}}
{{ ternary "https" "http" .Values.internalTls.enabled }}://{{ include "headrace.name" . }}-internal.{{ .Release.Namespace }}.svc:8081
{{- end -}}

{{- define "headrace.scalingUrl" -}}
http://{{ include "headrace.name" . }}-operators.{{ .Release.Namespace }}.svc:{{ .Values.operators.port }}/scaling
{{- end -}}
