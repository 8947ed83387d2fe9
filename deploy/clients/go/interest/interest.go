// Package interest reads user interests that interest-updater keeps in Redis.
package interest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// LayoutVersion is the layout of Redis that this package knows.
const LayoutVersion = 1

// ErrLayout is what a key holds that this package cannot read: a later layout, or what no worker wrote.
var ErrLayout = errors.New("Redis holds what this reader cannot read")

const (
	servingKey = "interest:serving"
	look       = time.Second // how long a generation may go on being read once another one serves
)

var (
	fields = []string{"vector", "behaviour", "social", "content", "topics", "windows",
		"updated_at", "event_ts", "events", "generation", "version", "model"}
	cardFields = []string{"version", "topics", "dimension", "generation", "layout"}
	decimal    = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)
)

// Topic is a named interest; the weights of a user's topics sum to 1.
type Topic struct {
	Name   string
	Weight float64
}

// Window has the counters of a rolling window of event time. RatingMean is 0..1 of the scale, nil without ratings.
type Window struct {
	Clicks     int64    `json:"clicks"`
	DwellMs    int64    `json:"dwell_ms"`
	Ratings    int64    `json:"ratings"`
	RatingMean *float64 `json:"rating_mean"`
	Follows    int64    `json:"follows"`
}

// Interest is what a user is interested in, as of the last event. Vectors are comparable within a generation.
type Interest struct {
	Vector, Behaviour, Social, Content []float32
	Topics                             []Topic // the largest first
	Windows                            map[string]Window
	Version, Generation, Events        int64
	EventTsMs, UpdatedAtMs             int64
	Model                              string
}

// Recommendation is the recommendation event; the items come best first.
type Recommendation struct {
	EventID     string  `json:"event_id"`
	UserID      string  `json:"user_id"`
	GeneratedAt int64   `json:"generated_at"`
	Trigger     Trigger `json:"trigger"`
	Model       string  `json:"model_version"`
	Items       []Item  `json:"items"`
}

// Trigger is the event after which the recommendation was made.
type Trigger struct {
	Kind    string `json:"kind"`
	EventID string `json:"event_id"`
	Ts      int64  `json:"ts"`
}

// Item is a recommended item, and why.
type Item struct {
	ItemID string  `json:"item_id"`
	Score  float64 `json:"score"`
	Reason struct {
		Facet       string  `json:"facet"`
		Topic       *string `json:"topic"`
		BecauseItem *string `json:"because_item"`
	} `json:"reason"`
}

// ModelCard says which model is in use.
type ModelCard struct {
	Version    string   `json:"version"`
	Topics     []string `json:"topics"`
	Dimension  int64    `json:"dimension"`
	Generation int64    `json:"generation"`
	Layout     int64    `json:"layout"`
}

// Reader may be shared by goroutines.
type Reader struct {
	client       redis.UniversalClient
	pseudonymKey []byte

	mutex sync.Mutex
	known int64
	until time.Time
}

// NewReader reads with a client; pseudonymKey is that of the workers, "" if they keep ids as they are.
func NewReader(client redis.UniversalClient, pseudonymKey string) *Reader {
	return &Reader{client: client, pseudonymKey: []byte(pseudonymKey)}
}

// Generation is the one that serves, as it was within the last second.
func (r *Reader) Generation(ctx context.Context) (int64, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if time.Now().Before(r.until) {
		return r.known, nil
	}
	raw, err := r.client.Get(ctx, servingKey).Bytes()
	serving := struct{ Generation int64 }{1}
	if err == nil {
		if wrong := json.Unmarshal(raw, &serving); wrong != nil || serving.Generation < 1 {
			return 0, strange(servingKey, "no generation")
		}
	} else if err != redis.Nil {
		return 0, err
	}
	r.known, r.until = serving.Generation, time.Now().Add(look)
	return r.known, nil
}

// Get gives the user's interests, nil for one without events, or erased.
func (r *Reader) Get(ctx context.Context, userID string) (*Interest, error) {
	many, err := r.GetMany(ctx, []string{userID})
	return many[userID], err
}

// GetMany gives those of the users that have interests, in one round trip.
func (r *Reader) GetMany(ctx context.Context, userIDs []string) (map[string]*Interest, error) {
	generation, err := r.Generation(ctx)
	if err != nil {
		return nil, err
	}
	asked, pipeline := map[string]*redis.SliceCmd{}, r.client.Pipeline()
	for _, user := range userIDs {
		asked[user] = pipeline.HMGet(ctx, key("interest", r.name(user), generation), fields...)
	}
	if _, err := pipeline.Exec(ctx); err != nil && len(asked) > 0 {
		return nil, err
	}
	found := map[string]*Interest{}
	for user, row := range asked {
		if row.Val()[0] == nil {
			continue
		}
		if found[user], err = interestOf(row.Val()); err != nil {
			return nil, strange(key("interest", r.name(user), generation), err.Error())
		}
	}
	return found, nil
}

// Recommendations gives the latest ones, nil if there are none.
func (r *Reader) Recommendations(ctx context.Context, userID string) (*Recommendation, error) {
	generation, err := r.Generation(ctx)
	if err != nil {
		return nil, err
	}
	at := key("rec", r.name(userID), generation)
	raw, err := r.client.Get(ctx, at).Bytes()
	if err == redis.Nil {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	found := Recommendation{}
	if wrong := json.Unmarshal(raw, &found); wrong != nil || found.EventID == "" || found.Items == nil {
		return nil, strange(at, "no recommendation")
	}
	found.UserID = userID
	return &found, nil
}

// Model gives the card of the model in use (generation 0), or of a generation's; nil before a worker has announced one.
func (r *Reader) Model(ctx context.Context, generation int64) (*ModelCard, error) {
	if generation == 0 {
		serving, err := r.Generation(ctx)
		if err != nil {
			return nil, err
		}
		generation = serving
	}
	at := "interest:" + prefix(generation) + "model"
	row, err := r.client.HMGet(ctx, at, cardFields...).Result()
	if err != nil || row[0] == nil {
		return nil, err
	}
	raw, err := whole(row, cardFields)
	if err != nil {
		return nil, strange(at, err.Error())
	}
	numbers, err := numbersOf(raw, "dimension", "generation", "layout")
	card := ModelCard{Version: raw["version"], Dimension: numbers["dimension"],
		Generation: numbers["generation"], Layout: numbers["layout"]}
	if err != nil || json.Unmarshal([]byte(raw["topics"]), &card.Topics) != nil || card.Layout > LayoutVersion {
		return nil, strange(at, fmt.Sprintf("layout %d, this reader knows %d", card.Layout, LayoutVersion))
	}
	return &card, nil
}

func interestOf(row []any) (*Interest, error) {
	raw, err := whole(row, fields)
	if err != nil {
		return nil, err
	}
	numbers, err := numbersOf(raw, "version", "generation", "events", "event_ts", "updated_at")
	if err != nil {
		return nil, err
	}
	found := Interest{Version: numbers["version"], Generation: numbers["generation"], Events: numbers["events"],
		EventTsMs: numbers["event_ts"], UpdatedAtMs: numbers["updated_at"], Model: raw["model"]}
	for name, to := range map[string]*[]float32{"vector": &found.Vector, "behaviour": &found.Behaviour,
		"social": &found.Social, "content": &found.Content} {
		if len(raw[name])%4 != 0 || len(raw[name]) != len(raw["vector"]) {
			return nil, fmt.Errorf("%s has %d bytes", name, len(raw[name]))
		}
		*to = Floats([]byte(raw[name]))
	}
	weights := map[string]float64{}
	if err := json.Unmarshal([]byte(raw["topics"]), &weights); err != nil {
		return nil, err
	}
	for name, weight := range weights {
		found.Topics = append(found.Topics, Topic{name, weight})
	}
	sort.Slice(found.Topics, func(i, j int) bool { return found.Topics[i].Weight > found.Topics[j].Weight })
	return &found, json.Unmarshal([]byte(raw["windows"]), &found.Windows)
}

// Floats reads little-endian float32.
func Floats(raw []byte) []float32 {
	vector := make([]float32, len(raw)/4)
	for i := range vector {
		vector[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return vector
}

func whole(row []any, names []string) (map[string]string, error) {
	raw := map[string]string{}
	for i, name := range names {
		value, ok := row[i].(string)
		if !ok {
			return nil, fmt.Errorf("without %s", name)
		}
		raw[name] = value
	}
	return raw, nil
}

func numbersOf(raw map[string]string, names ...string) (map[string]int64, error) {
	numbers := map[string]int64{}
	for _, name := range names {
		number, err := strconv.ParseInt(raw[name], 10, 64)
		if err != nil || !decimal.MatchString(raw[name]) {
			return nil, fmt.Errorf("%s is no whole number", name)
		}
		numbers[name] = number
	}
	return numbers, nil
}

// key is `interest:{user}`, or `interest:g2:{user}`. A first brace or percent sign of an id is written as in a URL.
func key(kind, id string, generation int64) string {
	if id != "" && (id[0] == '}' || id[0] == '%') {
		id = fmt.Sprintf("%%%X%s", id[0], id[1:])
	}
	return kind + ":" + prefix(generation) + "{" + id + "}"
}

func prefix(generation int64) string {
	if generation <= 1 {
		return ""
	}
	return fmt.Sprintf("g%d:", generation)
}

func (r *Reader) name(userID string) string {
	if len(r.pseudonymKey) == 0 {
		return userID
	}
	digest := hmac.New(sha256.New, r.pseudonymKey)
	digest.Write([]byte(userID))
	return hex.EncodeToString(digest.Sum(nil)[:16])
}

func strange(at, why string) error {
	return fmt.Errorf("%w at %s: %s", ErrLayout, at, why)
}
