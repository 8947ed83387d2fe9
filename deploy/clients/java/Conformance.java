import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.exceptions.JedisDataException;

/** Answers the readings of ../conformance.json: java Conformance URL FILE */
public final class Conformance {
  private static final Gson GSON = new GsonBuilder().serializeNulls().create();

  public static void main(String[] args) throws Exception {
    JsonArray worlds = JsonParser.parseString(Files.readString(Path.of(args[1]))).getAsJsonObject().getAsJsonArray("worlds");
    JsonArray answers = new JsonArray();
    for (int database = 0; database < worlds.size(); database++) {
      JsonObject world = worlds.get(database).getAsJsonObject();
      JsonArray given = new JsonArray();
      try (var redis = RedisClient.create(args[0] + "/" + database)) {
        var reader = new InterestReader(redis, world.get("pseudonym_key").getAsString());
        for (JsonElement one : world.getAsJsonArray("readings")) given.add(answer(reader, one.getAsJsonObject()));
      }
      answers.add(given);
    }
    System.out.println(GSON.toJson(answers));
  }

  private static JsonObject answer(InterestReader reader, JsonObject reading) {
    JsonObject answer = new JsonObject();
    try {
      answer.add("gives", GSON.toJsonTree(ask(reader, reading.get("call").getAsString(), reading.get("of"))));
    } catch (InterestReader.LayoutException error) {
      answer.addProperty("raises", "layout");
    } catch (JedisDataException error) {
      answer.addProperty("raises", "redis");
    }
    return answer;
  }

  private static Object ask(InterestReader reader, String call, JsonElement of) {
    switch (call) {
      case "get":
        return reader.get(of.getAsString()).map(found -> told(of.getAsString(), found)).orElse(null);
      case "get_many":
        List<String> users = new ArrayList<>();
        of.getAsJsonArray().forEach(user -> users.add(user.getAsString()));
        Map<String, Object> all = new LinkedHashMap<>();
        reader.getMany(users).forEach((user, found) -> all.put(user, told(user, found)));
        return all;
      case "recommendations":
        return reader.recommendations(of.getAsString()).orElse(null);
      case "model":
        return reader.model(of.getAsLong()).orElse(null);
      default:
        return "not asked of this reader";
    }
  }

  private static Map<String, Object> told(String user, InterestReader.Interest found) {
    List<List<Object>> topics = new ArrayList<>();
    found.topics().forEach((name, weight) -> topics.add(List.of(name, weight)));
    Map<String, Object> windows = new LinkedHashMap<>();
    found.windows().forEach((name, one) -> {
      Map<String, Object> counters = new LinkedHashMap<>();
      counters.put("clicks", one.clicks());
      counters.put("dwell_ms", one.dwellMs());
      counters.put("ratings", one.ratings());
      counters.put("rating_mean", one.ratingMean());
      counters.put("follows", one.follows());
      windows.put(name, counters);
    });
    Map<String, Object> told = new LinkedHashMap<>();
    told.put("user_id", user);
    told.put("vector", found.vector());
    told.put("behaviour", found.behaviour());
    told.put("social", found.social());
    told.put("content", found.content());
    told.put("topics", topics);
    told.put("windows", windows);
    told.put("version", found.version());
    told.put("generation", found.generation());
    told.put("events", found.events());
    told.put("event_ts_ms", found.eventTsMs());
    told.put("updated_at_ms", found.updatedAtMs());
    told.put("model", found.model());
    return told;
  }
}
