{{- define "wavebreak.labels" -}}
app.kubernetes.io/name: wavebreak
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
