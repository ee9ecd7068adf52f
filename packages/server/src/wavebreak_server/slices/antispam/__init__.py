"""The protocol of synapse-http-antispam: for homeservers that run no module of ours."""
