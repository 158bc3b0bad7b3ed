<?php
// SimpleSAMLphp as the identity provider of tests: any free port, nothing outside its own folder.
// What a running Tollgate says of itself, once it was given.
$gate = getenv('TOLLGATE_IDP_DIR') . '/gate.xml';
$config = [
    'baseurlpath' => 'http://' . ($_SERVER['HTTP_HOST'] ?? '127.0.0.1') . '/',
    'certdir' => __DIR__ . '/../installed/keys/',
    'loggingdir' => getenv('TOLLGATE_IDP_DIR') . '/',
    'datadir' => getenv('TOLLGATE_IDP_DIR') . '/',
    'tempdir' => getenv('TOLLGATE_IDP_DIR') . '/',
    'metadatadir' => __DIR__ . '/../metadata/',
    'attributenamemapdir' => __DIR__ . '/',
    'technicalcontact_name' => 'Tests',
    'technicalcontact_email' => 'na@example.org',
    'timezone' => 'UTC',
    'secretsalt' => 'salt-of-the-tests',
    'auth.adminpassword' => 'not-the-default',
    'admin.checkforupdates' => false,
    'logging.handler' => 'file',
    'logging.logfile' => 'idp.log',
    'logging.level' => SimpleSAML\Logger::ERR,
    'showerrors' => true,
    'errorreporting' => false,
    'enable.saml20-idp' => true,
    'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
    'session.cookie.secure' => false,
    'session.cookie.samesite' => null,
    'session.phpsession.cookiename' => 'SimpleSAML',
    'session.phpsession.savepath' => getenv('TOLLGATE_IDP_DIR'),
    'session.phpsession.httponly' => true,
    'store.type' => 'phpsession',
    'language.default' => 'en',
    'metadata.sources' => array_merge([['type' => 'flatfile']], is_file($gate) ? [['type' => 'xml', 'file' => $gate]] : []),
];
