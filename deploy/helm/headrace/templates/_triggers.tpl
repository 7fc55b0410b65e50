{{/* Values in a trigger's metadata are texts. */}}
{{- define "headrace.queueTrigger" -}}
- type: rabbitmq
  name: queue
  metadata:
    protocol: {{ .root.Values.autoscaling.queue.protocol }}
    queueName: {{ printf "%sjobs" .root.Values.busNamespace | quote }}
    mode: QueueLength
    value: {{ toString .value | quote }}
  authenticationRef:
    name: {{ include "headrace.name" .root }}-scaler
{{- end -}}

{{- define "headrace.figureTrigger" -}}
- type: metrics-api
  name: {{ .figure | replace "_" "-" }}
  metadata:
    url: {{ include "headrace.scalingUrl" .root | quote }}
    valueLocation: {{ .figure }}
    targetValue: {{ toString .value | quote }}
{{- end -}}
