<?php
// One entry for each way to ask: the same person, another wrong thing about the answer.
$gate = 'https://gate.example.test/oauth/saml/';
$corp = $gate . 'corp';
$client = function (string $name, array $more = []) use (&$metadata, $gate): void {
    $address = $gate . $name;
    $metadata[$address] = $more + [
        'AssertionConsumerService' => $address,
        'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
    ];
};
$client('corp');
$client('both', ['saml20.sign.response' => true]);
$client('outer', ['saml20.sign.response' => true, 'saml20.sign.assertion' => false]);
$client('bare', ['saml20.sign.assertion' => false]);
$client('unspecified', ['NameIDFormat' => 'urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified']);
$client('mail', ['NameIDFormat' => 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress']);
$client('transient', ['NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient']);
$client('sha1', ['signature.algorithm' => 'http://www.w3.org/2000/09/xmldsig#rsa-sha1']);
$client('sha512', ['signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha512']);
$client('other', ['signature.privatekey' => 'other.pem', 'signature.certificate' => 'other.crt']);
$client('sealed', [
    'assertion.encryption' => true,
    'certificate' => 'idp.crt',
]);
$client('nameless', ['nameid.encryption' => true, 'certificate' => 'idp.crt']);
$client('long', ['assertion.lifetime' => 90000]);
// Posted to corp's address, but meant for somebody else.
$client('audience', ['AssertionConsumerService' => $corp]);
// Meant for corp as well, but posted elsewhere.
$client('place', ['audience' => [$corp]]);
