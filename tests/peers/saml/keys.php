<?php
// Keys of the identity provider, of somebody else, and one that is too short. Each with its certificate.
$folder = $argv[1];
foreach (['idp' => 2048, 'other' => 2048, 'short' => 1024] as $name => $bits) {
    $key = openssl_pkey_new(['private_key_bits' => $bits, 'private_key_type' => OPENSSL_KEYTYPE_RSA]);
    $request = openssl_csr_new(['commonName' => 'idp.example.test'], $key, ['digest_alg' => 'sha256']);
    $certificate = openssl_csr_sign($request, null, $key, 3650, ['digest_alg' => 'sha256']);
    openssl_x509_export_to_file($certificate, "$folder/$name.crt");
    openssl_pkey_export_to_file($key, "$folder/$name.pem");
}
