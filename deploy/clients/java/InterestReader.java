import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import redis.clients.jedis.Response;
import redis.clients.jedis.UnifiedJedis;

/** Reads user interests that interest-updater keeps in Redis. May be shared by threads, as the client may. */
public final class InterestReader {
  /** The layout of Redis that this class knows. */
  public static final long LAYOUT_VERSION = 1;

  /** Redis holds what this reader cannot read: a newer layout, or what no worker wrote. */
  public static final class LayoutException extends RuntimeException {
    LayoutException(String key, String why) {
      super("Redis holds at " + key + " what this reader cannot read: " + why);
    }
  }

  /** Counters of a rolling window of event time; `ratingMean` is 0..1 of the scale, null without ratings. */
  public record Window(long clicks, long dwellMs, long ratings, Double ratingMean, long follows) {}

  /** What a user is interested in. Topics come largest first; vectors are comparable within a generation. */
  public record Interest(
      float[] vector, float[] behaviour, float[] social, float[] content,
      Map<String, Double> topics, Map<String, Window> windows,
      long version, long generation, long events, long eventTsMs, long updatedAtMs, String model) {}

  /** The model in use. */
  public record ModelCard(String version, List<String> topics, long dimension, long generation, long layout) {}

  private static final String SERVING = "interest:serving";
  private static final long LOOK_NS = 1_000_000_000L; // how long an old generation may go on being read
  private static final String[] FIELDS = {
    "vector", "behaviour", "social", "content", "topics", "windows",
    "updated_at", "event_ts", "events", "generation", "version", "model"};
  private static final String[] CARD_FIELDS = {"version", "topics", "dimension", "generation", "layout"};

  private final UnifiedJedis redis;
  private final String pseudonymKey;
  private long known;
  private long untilNs = System.nanoTime();

  /** `pseudonymKey` is that of the workers, "" if they keep ids as they are. */
  public InterestReader(UnifiedJedis redis, String pseudonymKey) {
    this.redis = redis;
    this.pseudonymKey = pseudonymKey;
  }

  /** The generation that serves, as it was within the last second. */
  public synchronized long generation() {
    if (System.nanoTime() - untilNs >= 0) {
      byte[] raw = redis.get(SERVING.getBytes(UTF_8));
      known = raw == null ? 1 : at(SERVING, () -> whole(parsed(raw, "no object").get("generation")));
      untilNs = System.nanoTime() + LOOK_NS;
    }
    return known;
  }

  /** The user's interests, empty for one without events, or erased. */
  public Optional<Interest> get(String userId) {
    return Optional.ofNullable(getMany(List.of(userId)).get(userId));
  }

  /** Those of the users that have interests, in one round trip. */
  public Map<String, Interest> getMany(Collection<String> userIds) {
    long generation = generation();
    Map<String, Response<List<byte[]>>> asked = new LinkedHashMap<>();
    try (var pipeline = redis.pipelined()) {
      for (String user : new LinkedHashSet<>(userIds)) {
        asked.put(user, pipeline.hmget(key("interest", name(user), generation).getBytes(UTF_8), bytes(FIELDS)));
      }
    }
    Map<String, Interest> found = new LinkedHashMap<>();
    asked.forEach((user, row) -> {
      if (row.get().get(0) != null) {
        found.put(user, at(key("interest", name(user), generation), () -> interest(fields(FIELDS, row.get()))));
      }
    });
    return found;
  }

  /** The latest recommendation event, as JSON; empty if there is none. */
  public Optional<JsonObject> recommendations(String userId) {
    String key = key("rec", name(userId), generation());
    byte[] raw = redis.get(key.getBytes(UTF_8));
    if (raw == null) return Optional.empty();
    return Optional.of(at(key, () -> {
      JsonObject event = parsed(raw, "no recommendation");
      need(event.has("event_id") && event.has("items") && event.get("items").isJsonArray(), "no recommendation");
      event.addProperty("user_id", userId);
      return event;
    }));
  }

  /** The card of a generation's model (0: of the one that serves), empty before a worker has announced one. */
  public Optional<ModelCard> model(long generation) {
    String key = "interest:" + prefix(generation == 0 ? generation() : generation) + "model";
    List<byte[]> row = redis.hmget(key.getBytes(UTF_8), bytes(CARD_FIELDS));
    if (row.get(0) == null) return Optional.empty();
    return Optional.of(at(key, () -> {
      Map<String, byte[]> raw = fields(CARD_FIELDS, row);
      long layout = number(raw.get("layout"));
      need(layout <= LAYOUT_VERSION, "layout " + layout + ", this reader knows " + LAYOUT_VERSION);
      List<String> topics = new ArrayList<>();
      for (JsonElement name : (JsonArray) JsonParser.parseString(text(raw.get("topics")))) topics.add(name.getAsString());
      long dimension = number(raw.get("dimension"));
      return new ModelCard(text(raw.get("version")), topics, dimension, number(raw.get("generation")), layout);
    }));
  }

  private static Interest interest(Map<String, byte[]> raw) {
    return new Interest(
        vector(raw, "vector"), vector(raw, "behaviour"), vector(raw, "social"), vector(raw, "content"),
        topics(raw.get("topics")), windows(raw.get("windows")),
        number(raw.get("version")), number(raw.get("generation")), number(raw.get("events")),
        number(raw.get("event_ts")), number(raw.get("updated_at")), text(raw.get("model")));
  }

  private static float[] vector(Map<String, byte[]> raw, String name) {
    int length = raw.get(name).length;
    need(length % 4 == 0 && length == raw.get("vector").length, name + " has " + length + " bytes");
    float[] vector = new float[length / 4];
    ByteBuffer.wrap(raw.get(name)).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(vector);
    return vector;
  }

  private static Map<String, Double> topics(byte[] raw) {
    Map<String, Double> topics = new LinkedHashMap<>();
    parsed(raw, "topics are no object").entrySet().stream()
        .sorted(Comparator.comparingDouble(topic -> -decimal(topic.getValue())))
        .forEach(topic -> topics.put(topic.getKey(), decimal(topic.getValue())));
    return topics;
  }

  private static Map<String, Window> windows(byte[] raw) {
    Map<String, Window> windows = new LinkedHashMap<>();
    parsed(raw, "windows are no object").entrySet().forEach(one -> {
      JsonObject counters = one.getValue().getAsJsonObject();
      JsonElement mean = counters.get("rating_mean");
      windows.put(one.getKey(), new Window(
          whole(counters.get("clicks")), whole(counters.get("dwell_ms")), whole(counters.get("ratings")),
          mean.isJsonNull() ? null : (Double) decimal(mean), whole(counters.get("follows"))));
    });
    return windows;
  }

  /** Reads what is at a key; whatever goes wrong with it is said to be of that key. */
  private static <T> T at(String key, Supplier<T> read) {
    try {
      return read.get();
    } catch (JsonParseException | IllegalStateException | IllegalArgumentException | ClassCastException
        | NullPointerException error) {
      throw new LayoutException(key, String.valueOf(error.getMessage()));
    }
  }

  private static void need(boolean holds, String otherwise) {
    if (!holds) throw new IllegalArgumentException(otherwise);
  }

  private static Map<String, byte[]> fields(String[] names, List<byte[]> row) {
    Map<String, byte[]> raw = new HashMap<>();
    for (int i = 0; i < names.length; i++) {
      need(row.get(i) != null, "without " + names[i]);
      raw.put(names[i], row.get(i));
    }
    return raw;
  }

  private static JsonObject parsed(byte[] raw, String otherwise) {
    JsonElement parsed = JsonParser.parseString(text(raw));
    need(parsed.isJsonObject(), otherwise);
    return parsed.getAsJsonObject();
  }

  private static double decimal(JsonElement value) {
    need(value.isJsonPrimitive() && value.getAsJsonPrimitive().isNumber(), value + " is no number");
    return value.getAsDouble();
  }

  private static long whole(JsonElement value) {
    decimal(value);
    return number(value.getAsString().getBytes(UTF_8));
  }

  private static long number(byte[] raw) {
    need(text(raw).matches("0|-?[1-9][0-9]*"), text(raw) + " is no whole number");
    return Long.parseLong(text(raw));
  }

  private static String text(byte[] raw) {
    return new String(raw, UTF_8);
  }

  private static byte[][] bytes(String[] names) {
    byte[][] raw = new byte[names.length][];
    for (int i = 0; i < names.length; i++) raw[i] = names[i].getBytes(UTF_8);
    return raw;
  }

  /** `interest:{user}`, or `interest:g2:{user}`. A first brace or percent sign of an id is written as in a URL. */
  private static String key(String kind, String id, long generation) {
    String tagged = id.startsWith("}") ? "%7D" + id.substring(1) : id.startsWith("%") ? "%25" + id.substring(1) : id;
    return kind + ":" + prefix(generation) + "{" + tagged + "}";
  }

  private static String prefix(long generation) {
    return generation <= 1 ? "" : "g" + generation + ":";
  }

  private String name(String userId) {
    if (pseudonymKey.isEmpty()) return userId;
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(pseudonymKey.getBytes(UTF_8), "HmacSHA256"));
      return HexFormat.of().formatHex(mac.doFinal(userId.getBytes(UTF_8)), 0, 16);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }
}
