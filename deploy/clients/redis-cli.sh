# What Redis holds of the user u42, without any reader.
redis-cli GET interest:serving       # nothing, or a JSON whose prefix, "g2:", goes before the braces: interest:g2:{u42}
redis-cli HMGET 'interest:{u42}' topics windows version event_ts
redis-cli GET 'rec:{u42}'            # the latest recommendation event
redis-cli HMGET interest:model version dimension layout
redis-cli --raw HGET 'interest:{u42}' vector | head -c 256 | od -A n -v -t f4    # 64 numbers
