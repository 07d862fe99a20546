module mljob.dev/devstack/prometheus

go 1.26.0

require github.com/prometheus/prometheus v0.312.0
