http://127.0.0.1:33093/metrics
