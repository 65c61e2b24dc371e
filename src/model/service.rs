//! Services and EndpointSlices as the proxy reads them (slim), owned by the proxy.
