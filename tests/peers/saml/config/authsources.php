<?php
$numbered = function (int $count): array {
    return array_map(fn ($i) => "group-$i", range(1, $count));
};
$person = function (string $uid, array $more): array {
    return ['uid' => [$uid], 'mail' => ["$uid@example.org"]] + $more;
};
$config = [
    'people' => [
        'exampleauth:UserPass',
        'alice:alice' => $person('u-alice', ['groups' => ['analysts', 'engineers']]),
        'bob:bob' => $person('u-bob', ['groups' => ['approvers']]),
        'many:many' => $person('u-many', ['groups' => $numbered(101)]),
        'hundred:hundred' => $person('u-hundred', ['groups' => $numbered(100)]),
        'none:none' => $person('u-none', []),
        'overage:overage' => $person('u-overage', [
            'groups' => ['analysts'],
            'http://schemas.microsoft.com/claims/groups.link' => ['https://graph.example.org/u/getMemberObjects'],
        ]),
        'spaced:spaced' => $person(' u-spaced', ['groups' => ['analysts']]),
    ],
];
