#!/bin/sh
# Passwords, the pages' token and Redis' users for compose.yaml, in deploy/.secrets/. What is there stays.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p .secrets
for name in INTEREST_REDIS__PASSWORD reader_password INTEREST_WEB__TOKEN grafana_password; do
    [ -s ".secrets/$name" ] || openssl rand -hex 32 | tr -d '\n' >".secrets/$name"
done
digest() { openssl dgst -sha256 -r <".secrets/$1" | cut -d' ' -f1; }
sed -e "s/>CHANGE-ME-TOO/#$(digest reader_password)/" -e "s/>CHANGE-ME/#$(digest INTEREST_REDIS__PASSWORD)/" \
    redis-8-users.acl >.secrets/redis.acl
chmod 0444 .secrets/*
echo "secrets are in $(pwd)/.secrets; the pages' token: .secrets/INTEREST_WEB__TOKEN, Grafana's password: .secrets/grafana_password"
