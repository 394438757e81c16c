{{/* Names and labels, and what the containers of a site have in common. */}}
{{- define "senogate.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "senogate.selector" -}}
app.kubernetes.io/name: senogate
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "senogate.labels" -}}
{{ include "senogate.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- define "senogate.databaseSecret" -}}
{{- .Values.database.internal | ternary (printf "%s-database" (include "senogate.name" .)) .Values.database.existingSecret -}}
{{- end -}}

{{- define "senogate.environment" -}}
- {name: SENOGATE_HOME, value: /var/lib/senogate}
- {name: SENOGATE_SECRETS, value: /var/lib/senogate/secrets}
- {name: SENOGATE_CROSSWALK_KEY, value: /var/lib/senogate-private/crosswalk.key}
- {name: SENOGATE_STORAGE, value: /var/lib/orthanc/db}
- {name: SENOGATE_DICOM_HOST, value: {{ include "senogate.name" . }}-orthanc}
- {name: SENOGATE_DICOM_AET, value: {{ .Values.orthanc.dicomAet | quote }}}
- {name: SENOGATE_ORTHANC_URL, value: "http://{{ include "senogate.name" . }}-orthanc-http:8042"}
- {name: SENOGATE_PUBLIC_URL, value: {{ .Values.publicUrl | default "http://127.0.0.1:8080" | quote }}}
- {name: SENOGATE_HOST, value: "0.0.0.0"}
- {name: SENOGATE_DATABASE_URL_FILE, value: /run/secrets/senogate/url}
{{- range $key, $value := .Values.settings }}
- {name: SENOGATE_{{ upper $key }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end -}}

{{- define "senogate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "senogate.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* What every pod says before its containers. */}}
{{- define "senogate.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext: {{- include "senogate.podSecurity" .root | nindent 2 }}
{{- if and (eq .root.Values.storage.accessMode "ReadWriteOnce") (ne .part "orthanc") }}
affinity:  # the volume is on one node at a time
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- include "senogate.selector" (dict "root" .root "part" "orthanc") | nindent 12 }}
{{- end }}
{{- end -}}

{{/* Waits until `init` has brought the schema up to date; secrets are made before. */}}
{{- define "senogate.wait" -}}
- name: wait
  image: {{ .Values.image.gateway }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [sh, -c, "until senogate alive schema; do sleep 2; done"]
  env: {{- include "senogate.environment" . | nindent 4 }}
  securityContext: {{- include "senogate.containerSecurity" . | nindent 4 }}
  resources: {requests: {cpu: 50m, memory: 128Mi}, limits: {memory: 256Mi}}
  volumeMounts:
    - {name: database, mountPath: /run/secrets/senogate, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* A container of one of the programs: part, image, memory, mounts, probes. */}}
{{- define "senogate.container" -}}
- name: {{ .part }}
  image: {{ .image }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args: [{{ .part }}]
  env: {{- include "senogate.environment" .root | nindent 4 }}
    {{- if .keepsMemory }}
    - {name: MALLOC_MMAP_THRESHOLD_, value: "1048576"}
    - {name: MALLOC_TRIM_THRESHOLD_, value: "8388608"}
    {{- end }}
  {{- if and .root.Values.secretSettings (ne .part "keeper") (ne .part "init") }}
  envFrom:
    - secretRef: {name: {{ .root.Values.secretSettings }}}
  {{- end }}
  securityContext: {{- include "senogate.containerSecurity" .root | nindent 4 }}
  resources: {{- toYaml .resources | nindent 4 }}
  {{- if .probe }}
  livenessProbe:
    exec: {command: [senogate, alive, {{ .part }}]}
    initialDelaySeconds: 60
    periodSeconds: 30
    timeoutSeconds: 15
    failureThreshold: 6
  {{- end }}
  {{- with .extra }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  volumeMounts:
    - {name: database, mountPath: /run/secrets/senogate, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    {{- range .mounts }}
    - {{ toJson . }}
    {{- end }}
{{- end -}}

{{- define "senogate.volumes" -}}
- name: database
  secret:
    secretName: {{ include "senogate.databaseSecret" .root }}
    defaultMode: 0440
    items: [{key: url, path: url}]
- name: tmp
  emptyDir: {}
{{- if has "data" .volumes }}
- name: data
  persistentVolumeClaim:
    claimName: {{ .root.Values.storage.existingClaim | default (printf "%s-data" (include "senogate.name" .root)) }}
{{- end }}
{{- range $name := list "secrets" "private" }}
{{- if has $name $.volumes }}
- name: {{ $name }}
  persistentVolumeClaim:
    claimName: {{ include "senogate.name" $.root }}-{{ $name }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The head of the policy of one part's pods. */}}
{{- define "senogate.policy" }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "senogate.name" .root }}-{{ .part }}
  labels: {{- include "senogate.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "senogate.selector" . | nindent 6 }}
{{- end }}
