# What a vault may do in the transit engine at `transit/`, with the keys of its prefix `creditvault`:
#   bao policy write creditvault openbao-policy.hcl
# It may make, use and end keys. It may not make one exportable, take one out, back one up or delete one.

path "transit/keys/creditvault-*" {
  capabilities      = ["create", "read", "update"]
  denied_parameters = {
    "exportable"             = []
    "allow_plaintext_backup" = []
  }
}

# Without "create": a key that is not there is never made by using it.
path "transit/encrypt/creditvault-*" {
  capabilities = ["update"]
}

path "transit/decrypt/creditvault-*" {
  capabilities = ["update"]
}

path "transit/hmac/creditvault-*" {
  capabilities = ["update"]
}

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}
