<?php
$as = fn (string $attribute, string $format): array =>
    ['class' => 'saml:AttributeNameID', 'attribute' => $attribute, 'Format' => $format];
$metadata['https://idp.example.test/saml'] = [
    'host' => '__DEFAULT__',
    'privatekey' => 'idp.pem',
    'certificate' => 'idp.crt',
    'auth' => 'people',
    'attributes.NameFormat' => 'urn:oasis:names:tc:SAML:2.0:attrname-format:basic',
    'saml20.sign.response' => false,
    'authproc' => [
        10 => $as('uid', 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent'),
        11 => $as('uid', 'urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified'),
        12 => $as('mail', 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress'),
    ],
];
