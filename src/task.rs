//! The concurrency kit. Knows no domain: nothing here names a pod, a node or a service.
