//! What rails are made of: the wire of the proxy.

mod proxy;
