// Answers the readings of ../../conformance.json: conformance URL FILE
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"interest-updater/clients/go/interest"

	"github.com/redis/go-redis/v9"
)

type world struct {
	PseudonymKey string `json:"pseudonym_key"`
	Readings     []struct {
		Call string
		Of   json.RawMessage
	}
}

func main() {
	var file struct{ Worlds []world }
	raw, err := os.ReadFile(os.Args[2])
	must(err)
	must(json.Unmarshal(raw, &file))
	answers := [][]any{}
	for database, world := range file.Worlds {
		options, err := redis.ParseURL(fmt.Sprintf("%s/%d", os.Args[1], database))
		must(err)
		client := redis.NewClient(options)
		reader, given := interest.NewReader(client, world.PseudonymKey), []any{}
		for _, reading := range world.Readings {
			given = append(given, answer(ask(reader, reading.Call, reading.Of)))
		}
		answers = append(answers, given)
		must(client.Close())
	}
	must(json.NewEncoder(os.Stdout).Encode(answers))
}

func ask(reader *interest.Reader, call string, of json.RawMessage) (any, error) {
	ctx, user, users, generation := context.Background(), "", []string{}, int64(0)
	switch call {
	case "get":
		must(json.Unmarshal(of, &user))
		found, err := reader.Get(ctx, user)
		return told(user, found), err
	case "get_many":
		must(json.Unmarshal(of, &users))
		many, err := reader.GetMany(ctx, users)
		all := map[string]any{}
		for user, found := range many {
			all[user] = told(user, found)
		}
		return all, err
	case "recommendations":
		must(json.Unmarshal(of, &user))
		found, err := reader.Recommendations(ctx, user)
		if found == nil {
			return nil, err
		}
		return found, err
	case "model":
		must(json.Unmarshal(of, &generation))
		found, err := reader.Model(ctx, generation)
		if found == nil {
			return nil, err
		}
		return found, err
	}
	return "not asked of this reader", nil
}

func told(user string, found *interest.Interest) any {
	if found == nil {
		return nil
	}
	topics := [][]any{}
	for _, topic := range found.Topics {
		topics = append(topics, []any{topic.Name, topic.Weight})
	}
	return map[string]any{"user_id": user, "vector": found.Vector, "behaviour": found.Behaviour,
		"social": found.Social, "content": found.Content, "topics": topics, "windows": found.Windows,
		"version": found.Version, "generation": found.Generation, "events": found.Events,
		"event_ts_ms": found.EventTsMs, "updated_at_ms": found.UpdatedAtMs, "model": found.Model}
}

func answer(gives any, err error) map[string]any {
	if errors.Is(err, interest.ErrLayout) {
		return map[string]any{"raises": "layout"}
	}
	if err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE") {
		return map[string]any{"raises": "redis"}
	}
	must(err)
	return map[string]any{"gives": gives}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
