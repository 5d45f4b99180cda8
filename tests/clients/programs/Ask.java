import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;

/**
 * The JDK's own HttpClient as it is by default: it offers HTTP/2 in the first request of each connection.
 *
 * A line of standard input is "way, tab, URL, tab, token, tab, JSON"; a line of the output is the status, a tab and the
 * answer in base64. Ways: "whole" sends a body of known length, "chunked" one of unknown length, "lines" reads the
 * answer line by line as it comes, "together" is sent with all others of its kind at once.
 */
public class Ask {
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] arguments) throws IOException, InterruptedException {
        List<CompletableFuture<String>> told = new ArrayList<>();
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split("\t", 4);
            CompletableFuture<String> one = ask(words[0], request(words[0], words[1], words[2], words[3]));
            if (!words[0].equals("together")) {
                one.join();
            }
            told.add(one);
        }
        for (var one : told) {
            System.out.println(one.join());
        }
    }

    private static HttpRequest request(String way, String url, String token, String json) {
        byte[] bytes = json.getBytes(StandardCharsets.UTF_8);
        BodyPublisher body =
                way.equals("chunked")
                        ? BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(bytes))
                        : BodyPublishers.ofByteArray(bytes);
        return HttpRequest.newBuilder(URI.create(url))
                .header("Authorization", "Bearer " + token)
                .header("Content-Type", "application/json")
                .timeout(Duration.ofSeconds(60))
                .POST(body)
                .build();
    }

    private static CompletableFuture<String> ask(String way, HttpRequest request) {
        if (way.equals("lines")) {
            return CLIENT.sendAsync(request, BodyHandlers.ofLines())
                    .thenApply(answer -> line(answer, answer.body().collect(Collectors.joining("\n"))));
        }
        return CLIENT.sendAsync(request, BodyHandlers.ofString()).thenApply(answer -> line(answer, answer.body()));
    }

    private static String line(HttpResponse<?> answer, String body) {
        return answer.statusCode() + "\t" + Base64.getEncoder().encodeToString(body.getBytes(StandardCharsets.UTF_8));
    }
}
