import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.utils.Exit;

/** Kafka's command-line tools, one after the other in one process, as each would run in its own. A line names the class and its
 * arguments, parted by tabs; the answer is a line with the exit code and the lengths of the two outputs, and those. */
class Tools {
    static final class Ended extends RuntimeException {
        final int code;

        Ended(int code) {
            super(null, null, false, false);
            this.code = code;
        }
    }

    static Integer first; // the exit code that counts: a tool may catch what ends it, and try once more

    static int run(String[] words) {
        String[] args = new String[words.length - 1];
        System.arraycopy(words, 1, args, 0, args.length);
        first = null;
        try {
            Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (java.lang.reflect.InvocationTargetException e) {
            if (first == null) {
                e.getCause().printStackTrace();
                return 1;
            }
        } catch (ReflectiveOperationException e) {
            e.printStackTrace();
            return 1;
        }
        return first == null ? 0 : first;
    }

    public static void main(String[] none) throws Exception {
        PrintStream answers = System.out;
        ByteArrayOutputStream out = new ByteArrayOutputStream(), err = new ByteArrayOutputStream();
        System.setOut(new PrintStream(out, true, "UTF-8"));
        System.setErr(new PrintStream(err, true, "UTF-8"));
        Exit.Procedure end = (code, message) -> {
            if (first == null)
                first = code;
            throw new Ended(code);
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        BufferedReader asked = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = asked.readLine(); line != null; line = asked.readLine()) {
            int code = run(line.split("\t"));
            System.out.flush();
            System.err.flush();
            answers.printf("%d %d %d%n", code, out.size(), err.size());
            answers.flush();
            out.writeTo(answers);
            err.writeTo(answers);
            answers.flush();
            out.reset();
            err.reset();
        }
    }
}
