// Shows what Redis holds of a user: go run ./read localhost:6379
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"interest-updater/clients/go/interest"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: os.Args[1]})
	reader := interest.NewReader(client, "")

	found, err := reader.Get(ctx, "u42")
	if err != nil {
		log.Fatal(err) // interest.ErrLayout for what no worker wrote
	}
	if found != nil { // nil if unknown
		fmt.Println(found.Vector, found.Topics[0].Name, found.Windows["24h"].Clicks)
	}
	several, err := reader.GetMany(ctx, []string{"u42", "u43"}) // one round trip
	fmt.Println(len(several), err)
}
